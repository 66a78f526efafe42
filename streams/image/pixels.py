"""Any pixel mode made one of the few that can be scaled and colour-managed: L, LA, RGB, RGBA, CMYK or LAB, 8 bits each.

Nothing is lost on the way except bits below the eighth. Must not change colours: that is `color.py`.
"""

from __future__ import annotations

from PIL import Image, ImageChops

from tidemill.errors import Reject

_READY = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture in one of the modes above.

    Args:
        image: As decoded.

    Raises:
        Reject: Its numbers have no defined black and white (32-bit integers, floats).
    """
    mode = image.mode
    if mode in ("RGB", "L") and "transparency" in image.info:
        return _keyed_out(image)
    if mode in _READY:
        return image
    if mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode == "1":
        return image.convert("L")
    if mode in ("I;16", "I;16L", "I;16B", "I;16N"):
        return _scaled_down(image)
    if mode in ("RGBX", "YCbCr", "HSV"):
        return image.convert("RGB")
    if mode in ("RGBa", "La"):
        return image.convert("RGBA" if mode == "RGBa" else "LA")
    raise Reject(
        f"The picture's pixels are of mode {mode!r}, whose numbers have no defined black and white.",
        hint="Save it with 8 or 16 bits per channel.",
    )


def _keyed_out(image: Image.Image) -> Image.Image:
    """An image in which one colour stands for transparent (PNG tRNS), with an alpha channel instead."""
    color = image.info["transparency"]
    if isinstance(color, tuple) and max(color) > 255:
        # The file has 16 bits per channel, of which Pillow decodes the upper eight.
        image.info["transparency"] = tuple(value >> 8 for value in color)
    return image.convert("RGBA" if image.mode == "RGB" else "LA")


def _scaled_down(image: Image.Image) -> Image.Image:
    # Pillow's own conversion of 16-bit grey to L clips at 255 instead of scaling (Pillow issue 3011).
    high_at = 0 if image.mode == "I;16B" else 1
    raw = image.tobytes()
    high = Image.frombytes("L", image.size, raw[high_at::2])
    transparency = image.info.get("transparency")
    if not isinstance(transparency, int):
        return high
    # One grey stands for transparent (PNG tRNS): where both its bytes match.
    low = Image.frombytes("L", image.size, raw[1 - high_at :: 2])
    matches = ImageChops.multiply(_equals(high, transparency >> 8), _equals(low, transparency & 255))
    return Image.merge("LA", (high, ImageChops.invert(matches)))


def _equals(image: Image.Image, value: int) -> Image.Image:
    return image.point([255 if step == value else 0 for step in range(256)])
