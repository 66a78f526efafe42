"""The work for one event, from the video's URI to the files in the store."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from streams.video.ffmpeg import Ffmpeg
from streams.video.process import UNIT
from streams.video.settings import VideoSettings
from tests.unit.video_samples import H264, TRAVEL, UPRIGHT, Bench, make_clip, path_of, run_ffmpeg
from tidemill.errors import Reject
from tidemill.events import PreviewFormat, VideoFile, VideoOutput, VideoPoster, VideoPreview

MP4 = VideoOutput(name="small", container="mp4", short_side=90)
WEBM = VideoOutput(name="web", container="webm", short_side=90)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    # The fastest encoders: what they make of it is theirs, what is tested is ours.
    return Bench(tmp_path, {"mp4_preset": "ultrafast", "webm_speed": 8})


def _described(file: VideoFile) -> str:
    """ffmpeg's description of a file that was made."""
    arguments = ["-map", "0", "-c", "copy", "-f", "null", "-"]
    return Ffmpeg(VideoSettings(), time.monotonic() + 60.0).run(path_of(file.uri), [[]], arguments, log_level="info")


def _pixel(file: VideoFile, x: float, y: float) -> tuple[int, int, int]:
    """The colour at a share of the width and of the height."""
    with Image.open(path_of(file.uri)) as image:
        found: Any = image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
    return tuple(found)


def _close(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 24) -> bool:
    return all(abs(left - right) <= tolerance for left, right in zip(found, expected, strict=True))


def test_everything_that_can_be_asked_for_is_where_and_what_the_result_says(bench: Bench) -> None:
    result = bench.process(
        TRAVEL, [MP4, WEBM], poster=VideoPoster(width=160, formats=["jpeg", "webp", "png"]), preview=VideoPreview()
    )
    original = result.original
    assert original.sha256 == hashlib.sha256(TRAVEL.read_bytes()).hexdigest()
    assert (original.format, original.width, original.height, original.video_codec, original.audio_codec) == (
        *("mov", 640, 360),
        *("h264", "aac"),
    )
    assert original.seconds == pytest.approx(9.1, abs=0.1)
    assert [(each.name, each.content_type, each.width, each.height) for each in result.files] == [
        ("small", "video/mp4", 160, 90),
        ("web", "video/webm", 160, 90),
        ("poster", "image/jpeg", 160, 90),
        ("poster", "image/webp", 160, 90),
        ("poster", "image/png", 160, 90),
        ("preview", "image/webp", 320, 180),
    ]
    assert [(each.video_codec, each.audio_codec) for each in result.files[:3]] == [
        *(("h264", "aac"), ("vp9", "opus"), (None, None)),
    ]
    for each in result.files:
        data = path_of(each.uri).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.bytes, each.sha256)
        assert each.sha256 in each.uri
        if each.kind == "output":
            assert each.seconds == pytest.approx(9.1, abs=0.1)
            assert each.bit_rate == pytest.approx(each.bytes * 8 / 9.1, rel=0.02)
        else:
            with Image.open(path_of(each.uri)) as image:
                assert image.size == (each.width, each.height)
                assert getattr(image, "n_frames", 1) > 20 if each.kind == "preview" else image.format
    assert bench.left_behind() == []


def test_the_same_event_again_gives_the_same_files_and_writes_nothing(bench: Bench) -> None:
    asked: dict[str, Any] = {"poster": VideoPoster(formats=["jpeg", "webp"]), "preview": VideoPreview(seconds=1.0)}
    first = bench.process(UPRIGHT, [MP4, WEBM], **asked)
    written = bench.objects()
    assert bench.process(UPRIGHT, [MP4, WEBM], **asked) == first
    assert bench.objects() == written


def test_ffprobe_agrees_with_the_result(bench: Bench) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("there is no ffprobe on this machine; the other tests ask the ffmpeg that the stream uses")
    for each in bench.process(UPRIGHT, [MP4, WEBM]).files:
        command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(path_of(each.uri))]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        picture, sound = found["streams"]
        assert (picture["codec_name"], sound["codec_name"]) == (each.video_codec, each.audio_codec)
        assert (picture["width"], picture["height"], picture["pix_fmt"]) == (each.width, each.height, "yuv420p")
        assert float(found["format"]["duration"]) == pytest.approx(each.seconds, abs=0.02)
        assert "rotation" not in json.dumps(picture)


def test_an_upright_video_from_a_phone_comes_out_upright(bench: Bench) -> None:
    result = bench.process(UPRIGHT, [MP4], poster=VideoPoster(formats=["png"], at=1.0))
    assert (result.original.width, result.original.height, result.original.rotation) == (288, 512, 90)
    assert [(each.width, each.height) for each in result.files] == [(90, 160), (288, 512)]
    # The flower is at the top and in the middle; the lower corners are paper.
    assert sum(_pixel(result.files[1], 0.5, 0.35)) < 300
    assert min(_pixel(result.files[1], 0.1, 0.9)) > 180
    assert "rotation" not in _described(result.files[0])


def test_an_mp4_begins_with_its_index_so_that_it_plays_while_it_loads(bench: Bench) -> None:
    data = path_of(bench.process(UPRIGHT, [MP4]).files[0].uri).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_nothing_of_the_sources_tags_comes_out(bench: Bench) -> None:
    tagged = bench.folder / "tagged.mp4"
    place = ["-metadata", "location=+48.8584+002.2945/", "-metadata", "title=Secret", "-movflags", "use_metadata_tags"]
    run_ffmpeg("-i", str(UPRIGHT), "-c", "copy", *place, str(tagged))
    assert b"Secret" in tagged.read_bytes()
    result = bench.process(tagged, [MP4, WEBM], poster=VideoPoster(formats=["jpeg", "png"]))
    for each in result.files:
        data = path_of(each.uri).read_bytes()
        assert b"Secret" not in data
        assert b"48.8584" not in data


def test_progress_goes_from_the_first_second_to_the_last(bench: Bench) -> None:
    bench.process(TRAVEL, [MP4], poster=VideoPoster())
    encoding = [
        (done, total) for done, total, unit, note in bench.told.calls if unit == UNIT and note == "encoding small"
    ]
    done = [each for each, _ in encoding if each is not None]
    assert done == sorted(done)
    assert done[-1] == 9
    assert {total for _, total in encoding} == {9}
    assert [note for *_, note in bench.told.calls if note][-1] == "making the poster"


@pytest.mark.parametrize(
    ("size", "filters", "expected"),
    [
        ("65x49", "null", (64, 48)),
        ("64x48", "setsar=2/1", (128, 48)),
        ("64x48", "setsar=1/2", (32, 48)),
        ("3x3", "null", (2, 2)),
    ],
)
def test_odd_sizes_and_pixels_that_are_not_square_come_out_plain(
    bench: Bench, size: str, filters: str, expected: tuple[int, int]
) -> None:
    encoding = ["-c:v", "ffv1", "-pix_fmt", "yuv444p"]
    odd = make_clip(bench.folder / "odd.mkv", *encoding, size=size, filters=filters, seconds=0.3, sound=None)
    (made,) = bench.process(odd, [VideoOutput(name="a", container="mp4")]).files
    assert (made.width, made.height) == expected
    described = _described(made)
    assert f"yuv420p(tv, bt709, progressive), {expected[0]}x{expected[1]} [SAR 1:1" in described


@pytest.mark.parametrize("pixels", ["yuv422p10le", "rgb24", "gray", "yuva420p", "yuv444p16le"])
def test_every_pixel_format_becomes_one_that_browsers_show(bench: Bench, pixels: str) -> None:
    odd = make_clip(bench.folder / "odd.mkv", "-c:v", "ffv1", "-pix_fmt", pixels, seconds=0.3, sound=None)
    (made,) = bench.process(odd, [VideoOutput(name="a", container="mp4")]).files
    assert "yuv420p(tv, bt709, progressive)" in _described(made)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_becomes_sdr_that_is_neither_dark_nor_washed_out(
    bench: Bench, transfer: Literal["smpte2084", "arib-std-b67"]
) -> None:
    convert = (
        f"zscale=tin=bt709:pin=bt709:min=bt709:rin=tv:t={transfer}:p=bt2020:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    )
    grey = bench.folder / "hdr.mkv"
    source = "color=c=0x808080:s=64x64:r=5:d=0.6,format=yuv420p,setparams=colorspace=bt709:range=tv"
    tags = ["-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc"]
    run_ffmpeg(
        "-f", "lavfi", "-i", source, "-vf", convert, "-c:v", "libx265", "-x265-params", "log-level=0", *tags, str(grey)
    )
    result = bench.process(grey, [MP4], poster=VideoPoster(formats=["png"]))
    assert result.original.hdr
    assert result.notes == ["HDR became SDR."]
    assert "yuv420p(tv, bt709, progressive)" in _described(result.files[0])
    red, green, blue = _pixel(result.files[1], 0.5, 0.5)
    assert max(red, green, blue) - min(red, green, blue) < 8
    assert 70 < green < 190


@pytest.mark.parametrize(("name", "matrix"), [("sd", "bt601"), ("hd", "bt709")])
@pytest.mark.parametrize("tagged", [True, False])
def test_colours_are_kept_whether_or_not_the_source_names_its_matrix(
    bench: Bench, name: str, matrix: str, tagged: bool
) -> None:
    size = {"sd": "64x48", "hd": "1280x720"}[name]
    convert = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"
    if not tagged:
        convert += ",setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    clip = bench.folder / "red.mkv"
    run_ffmpeg(
        *("-f", "lavfi", "-i", f"color=c=0xC03018:s={size}:r=5:d=0.4,format=rgb24", "-vf", convert),
        *("-c:v", "ffv1", str(clip)),
    )
    result = bench.process(clip, [MP4], poster=VideoPoster(formats=["png", "jpeg", "webp"], width=64))
    for poster in result.files[1:]:
        assert _close(_pixel(poster, 0.5, 0.5), (0xC0, 0x30, 0x18), 6), poster.content_type
    again = bench.process(path_of(result.files[0].uri), poster=VideoPoster(formats=["png"])).files[0]
    assert _close(_pixel(again, 0.5, 0.5), (0xC0, 0x30, 0x18), 8)


def test_a_silent_film_stays_silent(bench: Bench) -> None:
    silent = make_clip(bench.folder / "silent.mp4", sound=None)
    result = bench.process(silent, [MP4, WEBM])
    assert result.original.audio_codec is None
    assert [each.audio_codec for each in result.files] == [None, None]


def test_sound_is_left_out_where_it_is_not_wanted(bench: Bench) -> None:
    (made,) = bench.process(UPRIGHT, [VideoOutput(name="a", container="mp4", audio=False)]).files
    assert made.audio_codec is None
    assert "Audio" not in _described(made)


def test_surround_sound_becomes_stereo_and_mono_stays_mono(bench: Bench) -> None:
    surround = bench.folder / "surround.mkv"
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1", "-f", "lavfi", "-i", "aevalsrc=0|0|0|0|0|0:c=5.1:d=1"]
    run_ffmpeg(*inputs, *H264, "-c:a", "ac3", str(surround))
    (made,) = bench.process(surround, [MP4]).files
    assert "48000 Hz, stereo" in _described(made)
    (made,) = bench.process(UPRIGHT, [WEBM]).files
    assert "48000 Hz, mono" in _described(made)


def test_a_video_with_sound_of_an_unusual_kind_comes_out_silent_with_a_note(bench: Bench) -> None:
    unusual = make_clip(bench.folder / "unusual.mkv", *H264, "-c:a", "wavpack")
    result = bench.process(unusual, [MP4])
    assert result.files[0].audio_codec is None
    assert result.notes == ["The sound is coded as wavpack, which isn't decoded; it was left aside."]


def test_slow_motion_comes_out_with_the_pictures_per_second_that_screens_show(bench: Bench) -> None:
    fast = make_clip(bench.folder / "fast.mp4", fps=240, seconds=0.5, sound=None)
    (made,) = bench.process(fast, [MP4]).files
    assert ", 60 fps," in _described(made)
    assert made.seconds == pytest.approx(0.5, abs=0.03)


def test_interlaced_pictures_become_whole_ones(bench: Bench) -> None:
    interlaced = bench.folder / "interlaced.ts"
    make = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=50:d=1", "-vf", "tinterlace=interleave_top,setfield=tff"]
    run_ffmpeg(*make, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", str(interlaced))
    (made,) = bench.process(interlaced, [MP4]).files
    assert "progressive" in _described(made)
    assert ", 25 fps," in _described(made)


def test_a_single_picture_is_a_video_too(bench: Bench) -> None:
    single = make_clip(bench.folder / "single.mp4", seconds=0.1, sound=None)
    result = bench.process(single, [MP4, WEBM], poster=VideoPoster(), preview=VideoPreview(seconds=0.5))
    assert [each.kind for each in result.files] == ["output", "output", "poster", "preview"]


def test_vp8_is_made_where_the_settings_say_so(bench: Bench) -> None:
    bench.settings["webm_codec"] = "vp8"
    (made,) = bench.process(UPRIGHT, [WEBM]).files
    assert (made.video_codec, made.audio_codec) == ("vp8", "opus")


def test_a_limit_of_the_bit_rate_is_kept(bench: Bench) -> None:
    noisy = make_clip(
        bench.folder / "noisy.mp4", filters="noise=alls=60:allf=t", size="320x240", seconds=3.0, fps=25, sound=None
    )
    free, limited = bench.process(
        noisy,
        [VideoOutput(name="free", container="mp4"), VideoOutput(name="limited", container="mp4", max_bitrate=300_000)],
    ).files
    assert free.bit_rate is not None
    assert free.bit_rate > 900_000
    assert limited.bit_rate is not None
    assert limited.bit_rate < 600_000


def test_the_poster_of_a_video_that_begins_black_is_not_black(bench: Bench) -> None:
    (poster,) = bench.process(TRAVEL, poster=VideoPoster(width=160)).files
    with Image.open(path_of(poster.uri)) as image:
        darkest, brightest = image.convert("L").resize((16, 9)).getextrema()
    assert brightest - darkest > 80  # type: ignore[operator]


def test_the_poster_of_a_moment_is_the_picture_of_that_moment(bench: Bench) -> None:
    colors = bench.folder / "colors.mp4"
    parts = [f"color=c={name}:s=64x64:r=10:d=1[{name}]" for name in ("red", "lime", "blue")]
    graph = ";".join([*parts, "[red][lime][blue]concat=n=3,format=yuv420p[v]"])
    run_ffmpeg("-filter_complex", graph, "-map", "[v]", *H264, "-g", "300", str(colors))
    for at, expected in ((0.0, (255, 0, 0)), (1.5, (0, 255, 0)), (3.0, (0, 0, 255))):
        (poster,) = bench.process(colors, poster=VideoPoster(at=at, formats=["png"])).files
        assert _close(_pixel(poster, 0.5, 0.5), expected), at


def test_a_poster_of_a_moment_after_the_end_is_a_dead_letter(bench: Bench) -> None:
    with pytest.raises(Reject, match=r"poster\.at is 60 s; the video plays for 3\.0"):
        bench.process(UPRIGHT, poster=VideoPoster(at=60.0))


@pytest.mark.parametrize("form", ["webp", "gif", "mp4"])
def test_a_preview_shows_pieces_from_all_over_the_video(bench: Bench, form: PreviewFormat) -> None:
    (made,) = bench.process(TRAVEL, preview=VideoPreview(seconds=2.0, width=160, format=form)).files
    assert (made.kind, made.width, made.height) == ("preview", 160, 90)
    # Each of the four pieces is rounded to whole pictures.
    assert made.seconds == pytest.approx(2.0, abs=0.2)
    if form == "mp4":
        assert (made.video_codec, made.audio_codec) == ("h264", None)
        return
    with Image.open(path_of(made.uri)) as image:
        count = getattr(image, "n_frames", 1)
        assert count >= 15
        assert image.info["loop"] == 0
        shown = []
        for index in (1, count - 2):
            image.seek(index)
            shown.append(image.convert("RGB").resize((1, 1)).getpixel((0, 0)))
    # Blue sky at first, a brown field at the end.
    (first_red, _, first_blue), (last_red, _, last_blue) = shown  # type: ignore[misc]
    assert first_blue > first_red
    assert last_red > last_blue


def test_half_of_a_damaged_video_is_kept_where_the_settings_say_so(bench: Bench) -> None:
    whole = make_clip(bench.folder / "whole.mp4", *H264, "-movflags", "+faststart", "-g", "5", seconds=4.0).read_bytes()
    bench.settings["damaged"] = "keep"
    result = bench.process(bench.upload(whole[: len(whole) * 6 // 10]), [MP4])
    assert 1.0 < result.original.seconds < 3.5
    (note,) = result.notes
    assert note.startswith("The video ends after")
