"""What to show before a picture is there: its dominant colour and its BlurHash, from a thumbnail.

BlurHash is written out here (its specification is a page, github.com/woltapp/blurhash): the published package needs a
C compiler's output, two more packages, and a Pillow call that Pillow 14 removes.
"""

from __future__ import annotations

import math

from PIL import Image

# More detail than BlurHash's 4 x 3 cosines can show would only cost time.
THUMBNAIL_SIDE = 32
_COMPONENTS = (4, 3)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"


def dominant_color(thumbnail: Image.Image) -> str:
    """The colour that covers most of a picture, `#rrggbb`; of its opaque parts, if it has transparent ones.

    Args:
        thumbnail: The picture, small; mode L, LA, RGB or RGBA.
    """
    rgba = thumbnail.convert("RGBA").tobytes()
    opaque = b"".join(rgba[at : at + 3] for at in range(0, len(rgba), 4) if rgba[at + 3] >= 128)
    if not opaque:
        opaque = b"".join(rgba[at : at + 3] for at in range(0, len(rgba), 4))
    strip = Image.frombytes("RGB", (len(opaque) // 3, 1), opaque)
    clustered = strip.quantize(colors=8, method=Image.Quantize.MEDIANCUT)
    counts = clustered.histogram()
    index = max(range(8), key=lambda color: counts[color])
    palette = clustered.getpalette() or []
    red, green, blue = palette[3 * index : 3 * index + 3]
    return f"#{red:02x}{green:02x}{blue:02x}"


def blurhash(thumbnail: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> str:
    """The BlurHash of a picture, with 4 x 3 components (3 x 4 if it is upright).

    Args:
        thumbnail: The picture, small; mode L, LA, RGB or RGBA.
        background: What shows through transparent parts; BlurHash has no transparency.
    """
    if thumbnail.mode in ("LA", "RGBA"):
        picture = Image.new("RGBA", thumbnail.size, (*background, 255))
        picture.alpha_composite(thumbnail.convert("RGBA"))
        thumbnail = picture
    across, down = _COMPONENTS if thumbnail.width >= thumbnail.height else _COMPONENTS[::-1]
    factors = _cosine_factors(thumbnail.convert("RGB"), across, down)
    average, rest = factors[0], factors[1:]
    strongest = max(abs(value) for factor in rest for value in factor)
    steps = max(0, min(82, math.floor(strongest * 166 - 0.5)))
    scale = (steps + 1) / 166
    return (
        _base83(across - 1 + (down - 1) * 9, 1)
        + _base83(steps, 1)
        + _base83((_to_srgb(average[0]) << 16) + (_to_srgb(average[1]) << 8) + _to_srgb(average[2]), 4)
        + "".join(_base83(_packed(factor, scale), 2) for factor in rest)
    )


def _cosine_factors(picture: Image.Image, across: int, down: int) -> list[tuple[float, float, float]]:
    """Mean and cosine components of each channel in linear light, row by row."""
    width, height = picture.size
    raw = picture.tobytes()
    columns = [[math.cos(math.pi * i * x / width) for x in range(width)] for i in range(across)]
    # Along the rows first, then down the columns: the sum separates.
    rows: list[list[tuple[float, float, float]]] = []
    for y in range(height):
        row = raw[3 * width * y : 3 * width * (y + 1)]
        channels = [[_LINEAR[value] for value in row[channel::3]] for channel in range(3)]
        rows.append([_dot3(channels, cosines) for cosines in columns])
    factors = []
    for j in range(down):
        cosines = [math.cos(math.pi * j * y / height) for y in range(height)]
        for i in range(across):
            weight = (1 if i == j == 0 else 2) / (width * height)
            total = _dot3([[rows[y][i][channel] for y in range(height)] for channel in range(3)], cosines)
            factors.append((total[0] * weight, total[1] * weight, total[2] * weight))
    return factors


def _dot3(channels: list[list[float]], weights: list[float]) -> tuple[float, float, float]:
    red, green, blue = (sum(map(float.__mul__, channel, weights)) for channel in channels)
    return red, green, blue


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


_LINEAR = [_linear(value) for value in range(256)]


def _to_srgb(linear: float) -> int:
    share = min(1.0, max(0.0, linear))
    if share <= 0.0031308:
        return int(share * 12.92 * 255 + 0.5)
    return int((1.055 * share ** (1 / 2.4) - 0.055) * 255 + 0.5)


def _packed(factor: tuple[float, float, float], scale: float) -> int:
    packed = 0
    for value in factor:
        share = value / scale
        root = math.copysign(math.sqrt(abs(share)), share)
        packed = packed * 19 + max(0, min(18, math.floor(root * 9 + 9.5)))
    return packed


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in range(length - 1, -1, -1))
