"""A picture's bytes, opened and measured but not yet decoded.

Relies on Pillow's parsers, which run on hostile bytes: each call into them is fenced, and what they raise becomes a
`Reject`. Every limit is checked from the header, before pixels are decoded. Must be used by one thread at a time,
because Pillow's limits and Python's warnings are process-wide.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ExifTags import Base as ExifTag

from streams.image.gif import count_frames
from streams.image.settings import ImageSettings
from streams.image.sniff import sniff, with_article
from tidemill.errors import Reject
from tidemill.events import OriginalFormat

# Named here so that opening a picture doesn't import all of Pillow's forty plugins.
_PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
_ANIMATED: tuple[OriginalFormat, ...] = ("png", "webp", "gif", "avif")
_START_OF_SCAN = b"\xff\xda"


@dataclass
class Source:
    """One opened picture.

    Attributes:
        image: Pillow's image; its pixels are decoded when first asked for.
        format: By its content.
        mode: Pillow's mode, as stored.
        width: As it is stored, pixels.
        height: As it is stored, pixels.
        orientation: EXIF orientation that is still to be applied, 1 to 8.
        frames: More than 1 for an animation.
        exif: Its EXIF data, empty if there is none.
        icc: Its ICC profile.
        max_pixels: The limit that it was checked against.
        notes: What was left aside, in words.
    """

    image: Image.Image
    format: OriginalFormat
    mode: str
    width: int
    height: int
    orientation: int
    frames: int
    exif: Image.Exif
    icc: bytes | None
    max_pixels: int
    notes: list[str] = field(default_factory=list)


def open_source(data: bytes, settings: ImageSettings) -> Source:
    """Open a picture and check it against the limits.

    Args:
        data: The whole file.
        settings: Limits.

    Raises:
        Reject: It is no picture of an allowed format, is broken, or is over a limit.
    """
    if len(data) > settings.max_bytes:
        raise Reject(f"The picture has {len(data):,} bytes; at most {settings.max_bytes:,} are processed.")
    name = sniff(data, settings.formats)
    if name == "webp":
        # Pillow makes room for a WebP's pixels when it opens it.
        _check_pixels(*_webp_canvas(data), settings)
    notes: list[str] = []
    # Only the header is read here; the check below gives the better message.
    with fenced(name, notes, max_pixels=None):
        image = Image.open(io.BytesIO(data), formats=[name])
    width, height = image.size
    _check_pixels(width, height, settings)
    if name == "jpeg":
        _check_scans(data, settings)
    frames = _count_frames(image, data, name, settings)
    with fenced(name, notes, max_pixels=settings.max_pixels):
        exif = _exif(image)
    orientation = exif.get(ExifTag.Orientation, 1)
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        notes.append(f"EXIF orientation {orientation!r} isn't 1 to 8; the picture was taken as upright.")
        orientation = 1
    if name == "tiff" and orientation >= 5:
        # Pillow already tells a TIFF's size as it is shown.
        width, height = height, width
    icc = image.info.get("icc_profile") or None
    return Source(image, name, image.mode, width, height, orientation, frames, exif, icc, settings.max_pixels, notes)


@contextmanager
def fenced(name: str, notes: list[str], *, max_pixels: int | None) -> Iterator[None]:
    """Turn whatever Pillow raises on hostile bytes into a `Reject`, and what it warns of into notes.

    Memory that runs out isn't the picture's fault for sure; it passes, so that the event is tried again elsewhere.

    Args:
        name: Format, for messages.
        notes: Warnings are added to it.
        max_pixels: Pillow's own limit meanwhile, for what only shows up while decoding: a GIF's frame may be larger
            than the picture.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (Reject, MemoryError):
            raise
        except Exception as error:
            raise Reject(
                f"The picture starts like {with_article(name)} but can't be decoded: {_reason(error)}.",
                hint="Open it in a viewer and save it again; if that fails too, it is damaged.",
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before
    notes.extend(f"{str(warning.message).strip().rstrip('.')}." for warning in caught)


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if not text or "<_io" in text or "decoder object" in text:
        return "its structure is broken"
    if text.startswith("decoder error"):
        return "its compressed pixels are broken"
    return re.sub(r"\s+", " ", text).rstrip(".")[:200]


def _check_pixels(width: int, height: int, settings: ImageSettings) -> None:
    if width * height > settings.max_pixels:
        raise Reject(
            f"The picture is {width:,} x {height:,} pixels; at most {settings.max_pixels:,} in all are processed.",
            hint="Send a smaller version.",
        )


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height from the extended header (RFC 9649, 2.7); simple files are at most 16,384 each way."""
    if data[12:16] != b"VP8X" or len(data) < 30:
        return 1, 1
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _check_scans(data: bytes, settings: ImageSettings) -> None:
    # A scan costs a pass over all pixels and only a few bytes. The marker can't occur inside compressed data
    # (ITU-T T.81, B.1.1.5), so counting it needs no parsing; an embedded thumbnail adds one or two.
    scans = data.count(_START_OF_SCAN)
    if scans > settings.max_scans:
        raise Reject(f"The JPEG has {scans:,} scans; usual are about 10, at most {settings.max_scans} are decoded.")


def _count_frames(image: Image.Image, data: bytes, name: OriginalFormat, settings: ImageSettings) -> int:
    if name not in _ANIMATED:
        return 1
    frames = count_frames(data, at_most=settings.max_frames) if name == "gif" else getattr(image, "n_frames", 1)
    if image.info.get("default_image"):
        # An APNG may carry a still picture for viewers that don't know animations; it isn't part of the animation.
        frames -= 1
    if frames > settings.max_frames:
        found = "more" if name == "gif" else f"{frames:,}"
        raise Reject(
            f"The animation has {found} frames; at most {settings.max_frames} are processed.",
            hint="Send it as a video.",
        )
    total = frames * image.width * image.height
    if frames > 1 and total > settings.max_animation_pixels:
        raise Reject(
            f"The animation is {image.width} x {image.height} pixels x {frames} frames; "
            f"at most {settings.max_animation_pixels:,} in all are processed.",
            hint="Send it smaller, or as a video.",
        )
    return max(1, frames)


def _exif(image: Image.Image) -> Image.Exif:
    exif = image.getexif()
    # Reading TIFF structures is lazy: look now, inside the fence.
    dict(exif)
    return exif
