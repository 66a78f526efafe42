"""Finished pixels to the bytes of a file: the same pixels and options give the same bytes, always.

Relies on Pillow's encoders, each held to one thread: workers use all cores already, by processes. Must be given images
without `info`, because Pillow copies what it finds there (comments, profiles) into the file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from streams.image.color import srgb_profile
from tidemill.events import ResultFormat

MEDIA_TYPES: dict[ResultFormat, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
}
EXTENSIONS: dict[ResultFormat, str] = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "avif": "avif"}
WITH_ALPHA: tuple[ResultFormat, ...] = ("png", "webp", "gif", "avif")
WITH_FRAMES: tuple[ResultFormat, ...] = ("png", "webp", "gif", "avif")

# A JPEG segment holds 65,533 bytes (ITU-T T.81, B.1.1.4).
MAX_JPEG_EXIF_BYTES = 65_533

# Half the colours' resolution (4:2:0) is invisible at usual qualities; who asks for 90 or more wants all of it.
_FULL_CHROMA_QUALITY = 90
# 1600 x 1200 px on one core: 0.7 s, against 2.0 s at Pillow's default of 6.
_AVIF_SPEED = 8
# GIF has 256 colours; one is left for transparency.
_GIF_COLORS = 255
_OPAQUE_FROM = 128


@dataclass(frozen=True)
class Animation:
    """Times of an animation.

    Attributes:
        durations_ms: How long each frame is shown.
        plays: How many times in all; 0 is for ever.
    """

    durations_ms: tuple[int, ...]
    plays: int


def encode(
    frames: Sequence[Image.Image],
    target: ResultFormat,
    *,
    quality: int,
    animation: Animation | None = None,
    exif: bytes = b"",
    profile: bool = False,
) -> bytes:
    """Write a file.

    Args:
        frames: Pixels in sRGB, all of one size and mode (L, LA, RGB or RGBA; L or RGB for JPEG); one unless animated.
        target: File format.
        quality: 1 to 100; PNG and GIF have none.
        animation: Times of the frames; None writes the first frame alone.
        exif: A whole EXIF block, or nothing. GIF has no place for it.
        profile: Whether an sRGB profile goes into the file. GIF has no place for it.
    """
    images = [_gif_frame(frame, dither=animation is None) for frame in frames] if target == "gif" else list(frames)
    options = _options(target, images[0], quality, animation)
    if target != "gif":
        if exif:
            options["exif"] = exif
        if profile:
            options["icc_profile"] = srgb_profile()
    if animation is not None:
        options |= {"save_all": True, "append_images": images[1:], "duration": list(animation.durations_ms)}
    out = io.BytesIO()
    images[0].save(out, target.upper(), **options)
    return out.getvalue()


def _options(target: ResultFormat, image: Image.Image, quality: int, animation: Animation | None) -> dict[str, Any]:
    match target:
        case "jpeg":
            subsampling = "4:4:4" if quality >= _FULL_CHROMA_QUALITY else "4:2:0"
            return {"quality": quality, "progressive": True, "optimize": True, "subsampling": subsampling}
        case "webp":
            return {"quality": quality, "method": 4} | ({} if animation is None else {"loop": animation.plays})
        case "avif":
            return {"quality": quality, "speed": _AVIF_SPEED, "max_threads": 1}
        case "png":
            return {"compress_level": 6} | ({} if animation is None else {"loop": animation.plays})
        case "gif":
            options: dict[str, Any] = {"optimize": False}
            if "transparency" in image.info:
                # Each frame starts from nothing; otherwise the one before would show through.
                options |= {"transparency": image.info["transparency"], "disposal": 2}
            if animation is not None and animation.plays != 1:
                # The file says how often to repeat, not how often to play.
                options["loop"] = max(0, animation.plays - 1)
            return options


def _gif_frame(frame: Image.Image, *, dither: bool) -> Image.Image:
    """A picture with 255 colours of its own and one index for transparent.

    Dithering hides the steps in a still picture; in an animation it would flicker.
    """
    rgb = frame.convert("RGB")
    result = rgb.quantize(colors=_GIF_COLORS, method=Image.Quantize.MEDIANCUT)
    if dither:
        result = rgb.quantize(palette=result, dither=Image.Dither.FLOYDSTEINBERG)
    if frame.mode in ("LA", "RGBA"):
        transparent = frame.getchannel("A").point([255 if alpha < _OPAQUE_FROM else 0 for alpha in range(256)])
        result.paste(_GIF_COLORS, mask=transparent)
        result.info["transparency"] = _GIF_COLORS
    return result
