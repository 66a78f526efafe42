"""What an upload is by its first bytes, whatever its client says."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from producers.gateway.uploads.media_type import HEAD_BYTES, described, media_type_of

EXAMPLES = Path(__file__).parents[2] / "examples"


def box(brand: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + brand + b"\x00\x00\x02\x00" + b"".join(compatible)
    return (len(body) + 4).to_bytes(4) + body + b"\x00" * 64


def ebml(doctype: bytes) -> bytes:
    return b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01" + b"\x42\x82" + bytes([0x80 | len(doctype)]) + doctype


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_a_picture_is_known_by_its_bytes(name: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, name)
    found = media_type_of(file.getvalue()[:HEAD_BYTES])
    assert found is not None
    assert found.name == f"image/{name.lower()}"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("photos/alpine-landscape.webp", "image/webp"),
        ("video/travel.mp4", "video/mp4"),
        ("video/upright.mov", "video/quicktime"),
    ],
)
def test_an_example_is_known(file: str, expected: str) -> None:
    found = media_type_of((EXAMPLES / file).read_bytes()[:HEAD_BYTES])
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (box(b"isom", b"iso2", b"mp41"), "video/mp4"),
        (box(b"qt  "), "video/quicktime"),
        (box(b"3gp4", b"isom"), "video/3gpp"),
        (box(b"mif1", b"heic"), "image/heic"),
        (box(b"mif1", b"avif"), "image/avif"),
        (box(b"M4A ", b"isom"), "audio/mp4"),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "video/quicktime"),
        (ebml(b"webm"), "video/webm"),
        (ebml(b"matroska"), "video/matroska"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video/x-msvideo"),
        ((b"G" + b"\x00" * 187) * 3, "video/mp2t"),
        (b"\x00\x00\x01\xba\x44", "video/mpeg"),
        (b"OggS\x00\x02" + b"\x00" * 22 + b"\x80theora", "video/ogg"),
    ],
)
def test_a_video_is_known_by_its_bytes(head: bytes, expected: str) -> None:
    found = media_type_of(head)
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "of no kind that is known here"),
        (b"BMW drivers, unite", "of no kind that is known here"),
        (b"\x1aE\xdf\xa3", "of no kind that is known here"),
        (ebml(b"evil")[:12], "of no kind that is known here"),
        (b"OggS\x00\x02 \x01vorbis", "of no kind that is known here"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "of no kind that is known here"),
        (b"<?xml version='1.0'?><svg onload='alert(1)'>", "SVG"),
        (b"<!DOCTYPE html><script>", "HTML"),
        (b"%PDF-1.7", "a PDF"),
        (b"#EXTM3U\nfile:///etc/passwd", "a playlist"),
        (b"PK\x03\x04", "an archive"),
        (b"\x7fELF", "a program"),
        (b"G" * 100, "of no kind that is known here"),
    ],
)
def test_what_is_no_picture_or_video_is_none_and_described(head: bytes, said: str) -> None:
    assert media_type_of(head) is None
    assert described(head).startswith(said)


def test_any_beginning_of_a_file_is_looked_at_without_a_fault() -> None:
    for whole in (
        box(b"isom", b"avif"),
        ebml(b"webm"),
        b"RIFF\x00\x00\x00\x00AVI ",
        b"BM" + b"\x00" * 20,
        b"OggS",
        b"G" * 400,
    ):
        for length in range(len(whole)):
            media_type_of(whole[:length])
            described(whole[:length])
