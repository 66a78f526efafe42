"""What a file is by its first bytes; its name and any declared type are not asked.

Names the formats that are read, and the well-known ones that are not, so that the refusal can say what was sent.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.errors import Reject
from tidemill.events import OriginalFormat

_READ: tuple[tuple[OriginalFormat, Callable[[bytes], bool]], ...] = (
    ("jpeg", lambda head: head.startswith(b"\xff\xd8\xff")),
    ("png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    ("webp", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("avif", lambda head: head[4:8] == b"ftyp" and _has_brand(head, b"avif", b"avis")),
    ("tiff", lambda head: head.startswith((b"II*\x00", b"MM\x00*"))),
    ("bmp", lambda head: head.startswith(b"BM")),
)

_REFUSED: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("a HEIC picture", lambda head: head[4:8] == b"ftyp" and _has_brand(head, b"heic", b"heix", b"mif1", b"hevc")),
    ("a video (MP4 or QuickTime)", lambda head: head[4:8] in (b"ftyp", b"moov")),
    ("a video (Matroska or WebM)", lambda head: head.startswith(b"\x1aE\xdf\xa3")),
    ("a JPEG XL picture", lambda head: head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL "))),
    ("a JPEG 2000 picture", lambda head: head.startswith((b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"))),
    ("a Photoshop document", lambda head: head.startswith(b"8BPS")),
    ("PostScript", lambda head: head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6"))),
    ("a PDF", lambda head: b"%PDF-" in head),
    ("an archive (zip)", lambda head: head.startswith(b"PK\x03\x04")),
    ("gzipped data", lambda head: head.startswith(b"\x1f\x8b")),
    ("a program", lambda head: head.startswith((b"\x7fELF", b"MZ"))),
    ("SVG", lambda head: b"<svg" in head.lower()),
    ("HTML", lambda head: b"<html" in head.lower() or b"<!doctype html" in head.lower()),
    ("XML", lambda head: head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml")),
)


def sniff(data: bytes, allowed: tuple[OriginalFormat, ...]) -> OriginalFormat:
    """The format of a file.

    Args:
        data: The file, or at least its first kilobyte.
        allowed: Formats that are read.

    Raises:
        Reject: It is empty or in another format; the message says which, if it can be told.
    """
    if not data:
        raise Reject("The picture is an empty file (0 bytes).", hint="Upload it again.")
    head = data[:1024]
    hint = f"Send one of {', '.join(allowed)}."
    for name, fits in _READ:
        if fits(head):
            if name in allowed:
                return name
            raise Reject(
                f"The picture is {with_article(name)}, which this stream is set up not to read.",
                hint=f"{hint[:-1]}, or allow it with TIDEMILL_IMAGE_FORMATS.",
            )
    for description, fits in _REFUSED:
        if fits(head):
            raise Reject(f"The file is {description}, not a picture that is read.", hint=hint)
    raise Reject(f"The file is in no known picture format; it starts with {head[:12]!r}.", hint=hint)


def with_article(name: str) -> str:
    """A format as it stands in a sentence: `a JPEG`, `an AVIF`."""
    return f"{'an' if name == 'avif' else 'a'} {name.upper()}"


def _has_brand(head: bytes, *brands: bytes) -> bool:
    """Whether an ISO media file (ISO/IEC 14496-12, `ftyp`) is or is compatible with one of some brands."""
    length = int.from_bytes(head[:4])
    listed = {head[8:12]} | {head[at : at + 4] for at in range(16, min(length, len(head)), 4)}
    return bool(listed & set(brands))
