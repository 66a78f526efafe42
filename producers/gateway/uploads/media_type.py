"""What a file is by its first bytes; its name and any declared type are not asked. Computes only.

Knows the pictures and videos that the streams read, and some well-known other things, so that a refusal can say what
was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

HEAD_BYTES = 4096
"""So many first bytes are looked at; of a shorter file, all."""

_MPEG_PACKET_BYTES = 188
_BMP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_EBML_DOCTYPE = b"\x42\x82"


class MediaType(NamedTuple):
    """A media type, and the extension that names in the store end with."""

    name: str
    extension: str


JPEG = MediaType("image/jpeg", "jpg")
PNG = MediaType("image/png", "png")
GIF = MediaType("image/gif", "gif")
WEBP = MediaType("image/webp", "webp")
AVIF = MediaType("image/avif", "avif")
HEIC = MediaType("image/heic", "heic")
TIFF = MediaType("image/tiff", "tif")
BMP = MediaType("image/bmp", "bmp")
MP4 = MediaType("video/mp4", "mp4")
QUICKTIME = MediaType("video/quicktime", "mov")
PHONE = MediaType("video/3gpp", "3gp")
MATROSKA = MediaType("video/matroska", "mkv")
WEBM = MediaType("video/webm", "webm")
AVI = MediaType("video/x-msvideo", "avi")
TRANSPORT = MediaType("video/mp2t", "ts")
MPEG = MediaType("video/mpeg", "mpg")
FLASH = MediaType("video/x-flv", "flv")
OGG = MediaType("video/ogg", "ogv")
ASF = MediaType("video/x-ms-asf", "asf")
AUDIO = MediaType("audio/mp4", "m4a")

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# Of ISO/IEC 14496-12 files by their major brand; any other one is taken for MP4.
_MAJOR_BRANDS = {b"qt  ": QUICKTIME, b"M4A ": AUDIO, b"M4B ": AUDIO}
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_STARTS: tuple[tuple[bytes, MediaType], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"\x00\x00\x01\xba", MPEG),
    (b"\x00\x00\x01\xb3", MPEG),
    (b"FLV\x01", FLASH),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
)

_OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("a PDF", lambda head: b"%PDF-" in head[:1024]),
    ("an archive (zip), or an office document", lambda head: head.startswith(b"PK\x03\x04")),
    ("gzipped data", lambda head: head.startswith(b"\x1f\x8b")),
    ("a program", lambda head: head.startswith((b"\x7fELF", b"MZ", b"#!"))),
    ("a JPEG XL picture", lambda head: head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL "))),
    ("a Photoshop document", lambda head: head.startswith(b"8BPS")),
    ("SVG", lambda head: b"<svg" in head.lower()),
    ("HTML", lambda head: b"<html" in head.lower() or b"<!doctype html" in head.lower()),
    ("a playlist", lambda head: head.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U")),
    ("XML", lambda head: head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml")),
)


def media_type_of(head: bytes) -> MediaType | None:
    """What a file is.

    Args:
        head: Its first `HEAD_BYTES`, or all of it.

    Returns:
        None where it is none of the known kinds.
    """
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head.startswith(b"RIFF"):
        return {b"WEBP": WEBP, b"AVI ": AVI}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[4:8] in _QUICKTIME_ATOMS:
        return QUICKTIME
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska(head)
    if head.startswith(b"OggS") and b"\x80theora" in head[:512]:
        return OGG
    if head.startswith(b"BM"):
        # Two letters alone are the start of many texts.
        return BMP if int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES else None
    if len(head) > 2 * _MPEG_PACKET_BYTES and head[: 2 * _MPEG_PACKET_BYTES + 1 : _MPEG_PACKET_BYTES] == b"GGG":
        return TRANSPORT
    return None


def described(head: bytes) -> str:
    """What else a file may be, in words that follow "it is" or "it".

    Args:
        head: Its first bytes.
    """
    for description, fits in _OTHERS:
        if fits(head):
            return description
    return f"of no kind that is known here; it starts with {head[:12]!r}"


def _iso_media(head: bytes) -> MediaType:
    """A file of boxes (ISO/IEC 14496-12): its first one lists the brands that it is made for."""
    length = int.from_bytes(head[:4])
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, min(length, len(head), 256), 4)}
    if brands & {b"avif", b"avis"}:
        return AVIF
    if major.startswith((b"3gp", b"3g2")):
        return PHONE
    if major in _MAJOR_BRANDS:
        return _MAJOR_BRANDS[major]
    return HEIC if brands & _HEIC_BRANDS else MP4


def _matroska(head: bytes) -> MediaType | None:
    """WebM or Matroska (RFC 9559), as the header's DocType says."""
    at = head.find(_EBML_DOCTYPE, 4, 64)
    if at < 0 or at + 3 > len(head):
        return None
    name = head[at + 3 : at + 3 + (head[at + 2] & 0x7F)].rstrip(b"\x00")
    return {b"webm": WEBM, b"matroska": MATROSKA}.get(name)
