"""Files that are out to hurt: each becomes a dead letter that says why, and leaves nothing behind."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.video.ffmpeg import Ffmpeg
from streams.video.settings import VideoSettings
from tests.unit.video_samples import H264, TRAVEL, Bench, make_clip, run_ffmpeg
from tidemill.errors import ForbiddenUri, ObjectTooLarge, Reject


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    assert bench.left_behind() == []
    assert bench.objects() == {}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """2 s of video whose index comes first, so that a cut leaves something that can be played."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(path, *H264, "-movflags", "+faststart", "-g", "5", seconds=2.0).read_bytes()


def _refusal(bench: Bench, source: bytes | Path, name: str = "upload.mp4") -> str:
    with pytest.raises(Reject) as caught:
        bench.process(bench.upload(source, name))
    return str(caught.value)


class Listener:
    """A server that must see no connection, and a file that must not be read."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.canary = make_clip(folder / "canary.ts", *H264, "-f", "mpegts")

    def was_called(self) -> bool:
        try:
            self.socket.accept()[0].close()
        except TimeoutError:
            return False
        return True


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    yield listener
    listener.socket.close()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{uri}\n#EXT-X-ENDLIST\n",
    "hls-key": (
        '#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-KEY:METHOD=AES-128,URI="{uri}"\n#EXTINF:1.0,\n{uri}\n'
        "#EXT-X-ENDLIST\n"
    ),
    "concat": "ffconcat version 1.0\nfile '{uri}'\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{uri}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    ),
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{uri}" width="9"/></svg>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "smil": '<smil><body><video src="{uri}"/></body></smil>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_a_dead_letter_and_opens_neither_a_file_nor_a_connection(
    bench: Bench, listener: Listener, kind: str
) -> None:
    for uri in (f"file://{listener.canary}", f"{listener.url}/secret.ts"):
        said = _refusal(bench, PLAYLISTS[kind].format(uri=uri).encode(), "playlist.m3u8")
        assert "It is no video of an allowed format" in said
    assert not listener.was_called()


@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_even_if_a_playlists_format_were_allowed_it_could_open_nothing(
    tmp_path: Path, listener: Listener, kind: str
) -> None:
    allowing = VideoSettings().model_copy(update={"formats": ("hls", "concat", "mpegts")})
    playlist = tmp_path / "playlist"
    for uri in (f"file://{listener.canary}", f"{listener.url}/secret.ts"):
        playlist.write_text(PLAYLISTS[kind].format(uri=uri))
        options = ["-allowed_extensions", "ALL"] if kind == "hls" else ["-safe", "0"]
        with pytest.raises(Reject, match=r"not on whitelist 'fd'|Failed to open segment"):
            Ffmpeg(allowing, time.monotonic() + 20).run(
                playlist, [["-f", kind, *options]], ["-map", "0", "-c", "copy", "-f", "null", "-"], log_level="info"
            )
    assert not listener.was_called()


def test_an_empty_file_is_a_dead_letter(bench: Bench) -> None:
    assert "0 bytes" in _refusal(bench, b"")


def test_text_with_the_name_of_a_video_is_a_dead_letter(bench: Bench) -> None:
    assert "It is no video of an allowed format" in _refusal(bench, b"Dear Sir or Madam,\n" * 500)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_video_that_was_cut_off_is_a_dead_letter(bench: Bench, clip: bytes, share: float) -> None:
    said = _refusal(bench, clip[: int(len(clip) * share)])
    assert re.search(r"ends after \d\.\d s; it says that it plays for 2\.0 s", said)
    assert "cut off" in said


def test_a_video_that_was_cut_off_before_its_index_is_a_dead_letter(bench: Bench) -> None:
    late_index = make_clip(bench.folder / "late.mp4").read_bytes()
    assert "moov atom not found" in _refusal(bench, late_index[: len(late_index) // 2])


def test_a_header_without_any_picture_is_a_dead_letter(bench: Bench, clip: bytes) -> None:
    assert "ends after 0.0 s" in _refusal(bench, clip[: clip.index(b"mdat") + 4])


def test_a_video_whose_pictures_are_noise_is_a_dead_letter(bench: Bench, clip: bytes) -> None:
    start = clip.index(b"mdat") + 4
    noise = bytes((index * 193 + (index >> 7) * 71) % 256 for index in range(len(clip) - start))
    assert "decoded" in _refusal(bench, clip[:start] + noise)


@pytest.mark.parametrize(
    ("claimed_seconds", "said"), [(60, "it says that it plays for 60.0 s"), (1e9, "at most 14,400 s")]
)
def test_a_video_that_claims_to_be_longer_than_it_is_is_a_dead_letter(
    bench: Bench, claimed_seconds: float, said: str
) -> None:
    data = make_clip(bench.folder / "honest.mkv", sound=None).read_bytes()
    # Matroska's Duration: its id, its size of 8 bytes, then milliseconds.
    place = data.index(b"\x44\x89\x88") + 3
    assert said in _refusal(bench, data[:place] + struct.pack(">d", claimed_seconds * 1000) + data[place + 8 :])


def test_a_video_longer_than_allowed_is_a_dead_letter(bench: Bench, clip: bytes) -> None:
    bench.settings["max_seconds"] = 1.5
    assert "plays for 2 s; at most 2 s" in _refusal(bench, clip)


@pytest.mark.parametrize("size", ["16384x16", "16x16384"])
def test_huge_dimensions_are_a_dead_letter(bench: Bench, size: str) -> None:
    wide = make_clip(bench.folder / "wide.mp4", *H264, size=size, seconds=0.2, sound=None)
    assert f"{size.replace('x', ' x ')} pixels" in _refusal(bench, wide)


def test_pixels_so_wide_that_the_picture_becomes_huge_are_a_dead_letter(bench: Bench) -> None:
    wide = make_clip(bench.folder / "wide.mp4", *H264, filters="setsar=20/1", seconds=0.2, sound=None)
    bench.settings["max_side"] = 1000
    assert "shown as 1280 x 48" in _refusal(bench, wide)


def test_pictures_that_become_huge_in_the_middle_are_a_dead_letter(bench: Bench) -> None:
    small = make_clip(bench.folder / "small.ts", *H264, "-f", "mpegts", sound=None)
    large = make_clip(bench.folder / "large.ts", *H264, "-f", "mpegts", size="640x480", sound=None)
    bench.settings["max_side"] = 128
    assert "decoded" in _refusal(bench, small.read_bytes() + large.read_bytes(), "growing.ts")


def test_too_many_streams_are_a_dead_letter(bench: Bench) -> None:
    many = bench.folder / "many.mkv"
    maps = ["-map", "0"] * 12
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32:r=5:d=0.4", *maps, *H264, str(many))
    bench.settings["max_streams"] = 10
    assert "10" in _refusal(bench, many)


def test_a_file_of_sound_alone_is_a_dead_letter(bench: Bench) -> None:
    sound = bench.folder / "sound.m4a"
    run_ffmpeg("-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac", str(sound))
    assert "A video needs moving pictures" in _refusal(bench, sound)


def test_a_song_with_a_cover_is_a_dead_letter(bench: Bench) -> None:
    song = bench.folder / "song.m4a"
    inputs = ["-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.1:r=10"]
    run_ffmpeg(*inputs, "-c:a", "aac", "-c:v", "mjpeg", "-frames:v", "1", "-disposition:v:0", "attached_pic", str(song))
    assert "only 1 attached still picture" in _refusal(bench, song)


def test_a_codec_that_hardly_anybody_uses_is_a_dead_letter(bench: Bench) -> None:
    rare = make_clip(bench.folder / "rare.avi", "-c:v", "cinepak", sound=None, seconds=0.3)
    assert "coded as cinepak" in _refusal(bench, rare)


def test_a_format_that_the_settings_leave_out_is_a_dead_letter(bench: Bench) -> None:
    bench.settings["formats"] = ("matroska",)
    assert "allowed format (matroska)" in _refusal(bench, TRAVEL)


def test_another_file_than_was_meant_is_a_dead_letter(bench: Bench, clip: bytes) -> None:
    with pytest.raises(Reject, match="isn't the one that was meant"):
        bench.process(bench.upload(clip), source_sha256="0" * 64)


def test_a_file_larger_than_allowed_is_not_read(bench: Bench, clip: bytes) -> None:
    bench.settings["max_bytes"] = 1000
    with pytest.raises(ObjectTooLarge):
        bench.process(bench.upload(clip))


def test_a_source_outside_what_is_allowed_is_a_dead_letter(bench: Bench, clip: bytes) -> None:
    elsewhere = bench.folder / "elsewhere.mp4"
    elsewhere.write_bytes(clip)
    with pytest.raises(ForbiddenUri):
        bench.process(f"{bench.uploads.as_uri()}/../elsewhere.mp4")


def test_tags_full_of_line_breaks_and_lies_change_nothing(tmp_path: Path) -> None:
    lie = "x\n  Duration: 99:00:00.00, start: 0\n  Stream #0:0: Video: h264, yuv420p, 9x9\nInput #0, svg, from 'y':\n"
    liar = tmp_path / "liar.mkv"
    make_clip(tmp_path / "plain.mkv")
    run_ffmpeg("-i", str(tmp_path / "plain.mkv"), "-c", "copy", "-metadata", f"title={lie}", str(liar))
    original = Bench(tmp_path).process(liar).original
    assert (original.format, original.width, original.height) == ("matroska", 64, 48)


def test_a_name_with_a_line_break_is_like_any_other(tmp_path: Path, clip: bytes) -> None:
    bench = Bench(tmp_path)
    odd = bench.upload(clip, "a\n-y b;$(c) 'd'.mp4")
    with pytest.raises(ForbiddenUri):
        bench.process(odd)
    assert bench.left_behind() == []


def test_by_default_nothing_that_leads_to_other_files_is_read() -> None:
    assert not {"hls", "concat", "dash", "sdp", "image2", "lavfi", "rtsp"} & set(VideoSettings().formats)
