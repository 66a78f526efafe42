"""What must never hurt a worker, and what the person who sent it is told.

Each case asserts on the message: it is what stands in the dead letter.
"""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from streams.image.render import render
from streams.image.settings import ImageSettings
from tests.unit.image_samples import ask, corners, opened, photo_bytes, rendered, saved
from tidemill.errors import Reject


def _refused(data: bytes, *renditions: Any, **limits: Any) -> str:
    started = time.monotonic()
    with pytest.raises(Reject) as caught:
        rendered(data, *renditions, **limits)
    assert not caught.value.retriable
    assert caught.value.hint or "at most" in caught.value.message
    assert time.monotonic() - started < 5, "refusing must be cheap"
    assert "0x" not in caught.value.message, "no addresses of objects in messages"
    return caught.value.message


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *chunks: bytes, body: bytes = b"") -> bytes:
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = _png_chunk(b"IDAT", body or zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + _png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "The picture is an empty file (0 bytes)."),
        (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
            "The file is SVG, not a picture that is read.",
        ),
        (b"<svg onload=alert(1)>", "The file is SVG, not a picture that is read."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "The file is PostScript, not a picture that is read."),
        (b"\xc5\xd0\xd3\xc6" + b"\0" * 30, "The file is PostScript, not a picture that is read."),
        (b"%PDF-1.7\n", "The file is a PDF, not a picture that is read."),
        (b"<!DOCTYPE html><html>", "The file is HTML, not a picture that is read."),
        (b"PK\x03\x04" + b"\0" * 30, "The file is an archive (zip), not a picture that is read."),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "The file is a HEIC picture, not a picture that is read."),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "The file is a video (MP4 or QuickTime), not a picture that is read."),
        (b"8BPS\0\1", "The file is a Photoshop document, not a picture that is read."),
        (b"\x7fELF\2\1", "The file is a program, not a picture that is read."),
        (b"Dear sir or madam", "The file is in no known picture format; it starts with b'Dear sir or '."),
        (b"\0" * 1000, "The file is in no known picture format; it starts with"),
        (b"P6 10 10 255 " + b"\0" * 300, "The file is in no known picture format; it starts with b'P6 10 10 255'."),
    ],
)
def test_only_known_picture_formats_are_opened(data: bytes, told: str) -> None:
    assert _refused(data).startswith(told)


def test_a_wrong_extension_doesnt_matter_because_only_the_content_counts() -> None:
    # The renderer isn't even told the name.
    assert rendered(saved(corners(), "WEBP")).original.format == "webp"


def test_a_format_can_be_switched_off() -> None:
    told = _refused(saved(corners(), "AVIF"), formats=("jpeg", "png"))
    assert told == "The picture is an AVIF, which this stream is set up not to read."


def test_tiff_is_read_only_where_it_is_switched_on() -> None:
    with pytest.raises(Reject, match="The picture is a TIFF, which this stream is set up not to read") as caught:
        render(saved(corners(), "TIFF"), [ask()], ImageSettings())
    assert caught.value.hint == "Send one of jpeg, png, webp, gif, avif, bmp, or allow it with TIDEMILL_IMAGE_FORMATS."


def test_more_bytes_than_allowed_are_refused() -> None:
    told = _refused(photo_bytes(), max_bytes=1000)
    assert told == f"The picture has {len(photo_bytes()):,} bytes; at most 1,000 are processed."


def test_a_pixel_bomb_is_refused_from_its_header() -> None:
    assert _refused(_png(50_000, 50_000)) == (
        "The picture is 50,000 x 50,000 pixels; at most 100,000,000 in all are processed."
    )


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
def test_the_limit_of_pixels_holds_for_every_format(format_: str) -> None:
    told = _refused(saved(Image.new("RGB", (200, 100)), format_), max_pixels=19_999)
    assert told == "The picture is 200 x 100 pixels; at most 19,999 in all are processed."
    assert rendered(saved(Image.new("RGB", (200, 100)), format_), max_pixels=20_000).files


def test_a_gif_whose_frame_grows_beyond_its_canvas_is_refused() -> None:
    data = bytearray(saved(Image.new("P", (10, 10)), "GIF"))
    at = data.index(b"\x2c", 13 + 6)
    data[at + 5 : at + 9] = struct.pack("<HH", 65_000, 65_000)
    told = _refused(bytes(data))
    assert told.startswith(
        ("The picture is 65,000 x 65,000 pixels", "The picture starts like a GIF but can't be decoded")
    )


@pytest.mark.parametrize(("format_", "found"), [("GIF", "more"), ("WEBP", "40"), ("PNG", "40"), ("AVIF", "40")])
def test_too_many_frames_are_refused(format_: str, found: str) -> None:
    frames = [Image.new("RGB", (8, 8), (index * 6, 0, 0)) for index in range(40)]
    data = saved(frames[0], format_, save_all=True, append_images=frames[1:], duration=50)
    assert _refused(data, max_frames=20) == f"The animation has {found} frames; at most 20 are processed."
    assert _refused(data, max_animation_pixels=8 * 8 * 40 - 1) == (
        "The animation is 8 x 8 pixels x 40 frames; at most 2,559 in all are processed."
    )


def test_frames_that_only_the_header_promises_are_refused_before_they_are_looked_for() -> None:
    control = _png_chunk(b"acTL", struct.pack(">II", 2_000_000_000, 0))
    assert "2,000,000,000 frames" in _refused(_png(10, 10, control))


def test_a_jpeg_with_hundreds_of_scans_is_refused() -> None:
    data = saved(corners(), "JPEG", progressive=True)
    scan = data.index(b"\xff\xda")
    bomb = data[:scan] + data[scan:-2] * 300 + b"\xff\xd9"
    assert _refused(bomb).endswith("usual are about 10, at most 100 are decoded.")


def test_text_that_inflates_without_end_is_refused() -> None:
    bomb = zlib.compress(b"\0" * 80_000_000, 9)
    assert len(bomb) < 100_000
    text = _png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
    assert _refused(_png(10, 10, text)).startswith("The picture starts like a PNG but can't be decoded: ")


def test_a_profile_that_inflates_without_end_never_stops_a_worker() -> None:
    bomb = _png_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"\0" * 80_000_000, 9))
    assert "can't be decoded" in _refused(_png(10, 10, bomb))


def test_pixels_that_inflate_without_end_stop_where_the_picture_ends() -> None:
    body = zlib.compress(b"\0" * 50_000_000, 9)
    result = rendered(_png(10, 10, body=body), ask(format="png"))
    assert opened(result.files[0]).size == (10, 10)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_truncated_picture_becomes_a_clear_error(format_: str, share: float) -> None:
    whole = saved(Image.open(io.BytesIO(photo_bytes())).resize((400, 300)), format_)
    told = _refused(whole[: int(len(whole) * share)])
    assert told.startswith("The picture starts like a")
    assert f" {format_} but can't be decoded: " in told


def test_the_broken_photograph_of_the_demo_is_told_to_be_truncated() -> None:
    told = _refused(photo_bytes("broken.jpg"), ask(width=200))
    assert told.startswith("The picture starts like a JPEG but can't be decoded: image file is truncated")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
def test_flipped_bytes_give_a_picture_or_a_clear_error_and_nothing_else(format_: str) -> None:
    whole = saved(Image.open(io.BytesIO(photo_bytes())).resize((120, 80)), format_)
    luck = random.Random(format_)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(luck.choice((1, 4, 40))):
            damaged[luck.randrange(len(damaged))] = luck.randrange(256)
        with suppress(Reject):
            result = rendered(bytes(damaged), ask(width=40), max_pixels=1_000_000)
            assert opened(result.files[0]).width <= 40


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"BM"]
)
def test_a_header_and_nothing_else_is_refused(head: bytes) -> None:
    assert "can't be decoded" in _refused(head)


def test_a_chunk_that_lies_about_its_length_never_reads_past_the_end() -> None:
    data = bytearray(saved(corners(), "PNG"))
    at = data.index(b"IDAT")
    data[at - 4 : at] = struct.pack(">I", 2_000_000_000)
    (file,) = rendered(bytes(data), ask(format="png")).files
    assert opened(file).tobytes() == corners().tobytes()


def test_memory_that_runs_out_is_not_blamed_on_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", no_memory)
    with pytest.raises(MemoryError):
        rendered(saved(corners(), "PNG"))


@pytest.mark.parametrize(
    ("renditions", "told"),
    [
        ([ask(width=0)], "renditions[0].width is 0, not 1 to 16383"),
        ([ask(height=-5)], "renditions[0].height is -5, not 1 to 16383"),
        (
            [ask(width=100_000, height=100_000)],
            "renditions[0].width is 100000, not 1 to 16383; renditions[0].height is",
        ),
        ([ask("../x")], "renditions[0].name '../x' isn't 1 to 64 letters"),
        ([ask("a\0b")], "renditions[0].name 'a\\x00b' isn't 1 to 64 letters"),
        ([ask("x" * 5000)], "renditions[0].name 'xxx"),
        ([ask("")], "renditions[0].name '' isn't 1 to 64 letters"),
        ([ask("ok\n")], "renditions[0].name 'ok\\n' isn't 1 to 64 letters"),
        ([ask("a"), ask("b"), ask("a")], "renditions[2].name 'a' is also that of renditions[0]; names are unique"),
        ([ask(quality=0)], "renditions[0].quality is 0, not 1 to 100"),
        ([ask(quality=101)], "renditions[0].quality is 101, not 1 to 100"),
        ([ask(background="white")], "renditions[0].background 'white' isn't #rrggbb or #rrggbbaa"),
        ([ask(fit="cover", width=10)], "renditions[0].fit is 'cover', which needs both width and height"),
        ([ask("a"), ask("b", fit="pad")], "renditions[1].fit is 'pad', which needs both width and height"),
    ],
)
def test_a_request_that_makes_no_sense_names_the_field_and_the_value(renditions: list[Any], told: str) -> None:
    message = _refused(saved(corners(), "PNG"), *renditions)
    assert message.startswith(f"The request can't be met: {told}"), message
    assert len(message) < 400


def test_all_faults_of_a_request_are_named_at_once() -> None:
    message = _refused(saved(corners(), "PNG"), ask("a/b", width=0), ask(quality=0))
    assert message.count("renditions[") == 3


def test_no_and_too_many_renditions_are_refused() -> None:
    with pytest.raises(Reject, match="No renditions are asked for"):
        render(saved(corners(), "PNG"), [], ImageSettings())
    told = _refused(saved(corners(), "PNG"), *(ask(f"r{index}") for index in range(33)))
    assert told == "33 renditions are asked for; at most 32 are made of one picture."


def test_a_result_larger_than_a_file_can_be_is_refused_before_it_is_made() -> None:
    line = saved(Image.new("RGB", (1, 2000)), "PNG")
    assert _refused(line, ask(width=1000, enlarge=True)) == (
        "Rendition 'r' would be 1,000 x 2,000,000 pixels; at most 16,383 each way can be written."
    )


def test_results_that_are_too_much_together_are_refused_before_they_are_made() -> None:
    many = [ask(f"r{index}", width=10_000, height=10_000, fit="pad") for index in range(3)]
    assert _refused(saved(corners(), "PNG"), *many) == (
        "The renditions would have 300,000,000 pixels together; at most 150,000,000 are made."
    )
