"""What may be asked for, how large it becomes, and what ffmpeg's words about a file mean."""

from __future__ import annotations

from typing import Any

import pytest

from streams.video.geometry import Size, fit
from streams.video.preview import pieces
from streams.video.probe import Picture, read_probe
from streams.video.request import check_request
from streams.video.settings import VideoSettings
from tidemill.errors import Reject
from tidemill.events import VideoOutput, VideoPoster, VideoPreview, VideoRequested


def _refusal(**fields: Any) -> str:
    with pytest.raises(Reject) as caught:
        check_request(VideoRequested(source="file:///a", **fields), VideoSettings())
    return str(caught.value)


def _output(**fields: Any) -> VideoOutput:
    return VideoOutput(**{"name": "a", "container": "mp4"} | fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Nothing is asked for"),
        ({"outputs": [_output(name=f"o{number}") for number in range(13)]}, "13 outputs are asked for; at most 12"),
        ({"outputs": [_output(name="../a")]}, "outputs[0].name '../a' isn't 1 to 64"),
        ({"outputs": [_output(name="a\nb")]}, "outputs[0].name 'a\\nb' isn't"),
        ({"outputs": [_output(name="poster")]}, "is the name of another file"),
        ({"outputs": [_output(), _output()]}, "outputs[1].name 'a' is also that of outputs[0]"),
        ({"outputs": [_output(width=1)]}, "outputs[0].width is 1, not 2 or more"),
        ({"outputs": [_output(short_side=-720)]}, "outputs[0].short_side is -720"),
        ({"outputs": [_output(crf=52)]}, "outputs[0].crf is 52, not 0 to 51 as mp4 has it"),
        ({"outputs": [_output(container="webm", crf=64)]}, "not 0 to 63 as webm has it"),
        ({"outputs": [_output(max_bitrate=3)]}, "outputs[0].max_bitrate is 3"),
        ({"poster": VideoPoster(at=-1.0)}, "poster.at is -1.0"),
        ({"poster": VideoPoster(at=float("nan"))}, "poster.at is nan"),
        ({"poster": VideoPoster(at=float("inf"))}, "poster.at is inf"),
        ({"poster": VideoPoster(formats=[])}, "poster.formats is []"),
        ({"poster": VideoPoster(formats=["png", "png"])}, "not one or more different formats"),
        ({"preview": VideoPreview(seconds=float("nan"))}, "preview.seconds is nan"),
        ({"preview": VideoPreview(seconds=600.0)}, "preview.seconds is 600.0, not 0.1 to 15"),
        ({"preview": VideoPreview(width=4000)}, "preview.width is 4000, not 2 to 800"),
        ({"outputs": [_output()], "source_sha256": "ABC"}, "source_sha256 'ABC' isn't 64"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    assert said in _refusal(**fields)


def test_all_faults_are_named_at_once() -> None:
    said = _refusal(outputs=[_output(width=0, crf=99)], preview=VideoPreview(width=0))
    assert all(field in said for field in ("outputs[0].width", "outputs[0].crf", "preview.width"))


@pytest.mark.parametrize(
    ("source", "bounds", "expected"),
    [
        ((1920, 1080), {"short_side": 720}, (1280, 720)),
        ((1080, 1920), {"short_side": 720}, (720, 1280)),
        ((1920, 1080), {"width": 640}, (640, 360)),
        ((1920, 1080), {"height": 480}, (854, 480)),
        ((1920, 1080), {"width": 640, "height": 100}, (178, 100)),
        ((1920, 1080), {"width": 853}, (852, 480)),
        ((1920, 1080), {}, (1920, 1080)),
        ((1921, 1081), {}, (1920, 1080)),
        ((640, 360), {"short_side": 1080}, (640, 360)),
        ((8000, 2), {"width": 100}, (100, 2)),
        ((1, 1), {}, (2, 2)),
    ],
)
def test_a_video_becomes_as_large_as_its_bounds_and_itself_allow(
    source: tuple[int, int], bounds: dict[str, int], expected: tuple[int, int]
) -> None:
    assert fit(Size(*source), **bounds) == expected


def test_no_bound_is_ever_broken_and_sides_are_even() -> None:
    for width in range(2, 400, 7):
        for height in range(2, 400, 11):
            for bound in range(2, 300, 23):
                made = fit(Size(width, height), short_side=bound)
                assert made.width % 2 == made.height % 2 == 0
                assert min(made) <= bound
                assert made.width <= max(2, width)
                assert made.height <= max(2, height)


@pytest.mark.parametrize(
    ("seconds", "total", "expected"),
    [
        (2.0, 80.0, [(9.75, 0.5), (29.75, 0.5), (49.75, 0.5), (69.75, 0.5)]),
        (1.0, 10.0, [(2.25, 0.5), (7.25, 0.5)]),
        (3.0, 5.0, [(0.0, 3.0)]),
        (3.0, 1.0, [(0.0, 1.0)]),
        (0.5, 60.0, [(0.0, 0.5)]),
    ],
)
def test_a_preview_is_of_pieces_that_are_as_far_apart_as_can_be(
    seconds: float, total: float, expected: list[tuple[float, float]]
) -> None:
    assert pieces(seconds, total) == expected


HEAD = "Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'fd:':\n  Duration: 01:02:03.50, start: 0.000000, bitrate: 7544 kb/s\n"


def _picture(described: str) -> Picture:
    found = read_probe(f"{HEAD}  Stream #0:0[0x1](und): Video: {described}\n").picture
    assert found is not None
    return found


def test_ffmpegs_description_of_a_file_is_read() -> None:
    probe = read_probe(
        f"{HEAD}"
        "  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), 1920x1080 "
        "[SAR 1:1 DAR 16:9], 7465 kb/s, 29.97 fps, 30k tbr, 90k tbn (default)\n"
        "    Side data:\n      Display Matrix: rotation of -90.00 degrees\n"
        "  Stream #0:1[0x2](eng): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp, 69 kb/s (default)\n"
        "  Stream #0:2[0x0]: Video: mjpeg (Baseline), yuvj420p(pc), 64x64, 90k tbr, 90k tbn (attached pic)\n"
        "Output #0, null, to 'pipe:':\n  Stream #0:0: Video: h264, yuv420p, 9x9\n"
    )
    assert (probe.format, probe.claimed_seconds, probe.streams, probe.stills) == ("mov", 3723.5, 3, 1)
    assert probe.sound is not None
    assert (probe.sound.codec, probe.sound.mono) == ("aac", True)
    assert probe.picture == Picture(
        codec="h264",
        pixel_format="yuv420p",
        coded=Size(1920, 1080),
        shown=Size(1080, 1920),
        rotation=90,
        fps=29.97,
        matrix="bt709",
        primaries="bt709",
        transfer="bt709",
        interlaced=False,
    )


def test_hdr_is_known_by_its_transfer() -> None:
    hdr = _picture("hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive), 3840x2160, 24 fps")
    assert (hdr.hdr, hdr.matrix, hdr.primaries) == (True, "bt2020nc", "bt2020")
    assert not _picture("hevc, yuv420p10le(tv, bt2020nc/bt2020/unknown), 3840x2160, 24 fps").hdr


def test_interlaced_pictures_and_pixels_that_are_not_square_are_known() -> None:
    old = _picture("mpeg2video (Main), yuv420p(tv, top coded first (swapped)), 720x576 [SAR 64:45 DAR 16:9], 25 fps")
    assert (old.interlaced, old.coded, old.shown) == (True, (720, 576), (1024, 576))
    assert old.matrix is None


def test_a_picture_without_a_size_is_refused() -> None:
    with pytest.raises(Reject, match="nothing of its pictures' size"):
        _picture("h264 (avc1 / 0x31637661), none, 25 fps, 25 tbr")


def test_words_that_describe_nothing_are_refused() -> None:
    with pytest.raises(Reject, match="doesn't describe"):
        read_probe("Something else entirely\n")
