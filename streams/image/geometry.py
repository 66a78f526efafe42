"""The arithmetic of fitting: which part of a picture is scaled to which size, and where it lies on a canvas.

Pure numbers. Parts are given as fractions of the whole, so that they hold for any size that a picture is decoded at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from tidemill.events import Fit

Box: TypeAlias = tuple[float, float, float, float]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Placement:
    """How one rendition is made from the upright picture.

    Attributes:
        part: Left, top, right, bottom of the part that is used, as fractions of width and height.
        width: What the part is scaled to, pixels.
        height: The same.
        canvas_width: Size of the result, pixels; larger than the scaled part only for `pad`.
        canvas_height: The same.
    """

    part: Box
    width: int
    height: int
    canvas_width: int
    canvas_height: int

    @property
    def full_width(self) -> float:
        """Width that the whole picture would have at this scale, pixels."""
        return self.width / (self.part[2] - self.part[0])

    @property
    def full_height(self) -> float:
        """Height that the whole picture would have at this scale, pixels."""
        return self.height / (self.part[3] - self.part[1])


def place(
    source_width: int, source_height: int, *, width: int | None, height: int | None, fit: Fit, enlarge: bool
) -> Placement:
    """Fit a picture into what was asked for.

    Args:
        source_width: Width of the upright picture, pixels, at least 1; likewise `source_height`.
        width: Asked width, pixels; None follows from the height. Likewise `height`. `cover` and `pad` need both.
        fit: As in the contract `image.requested`.
        enlarge: Whether a scale above 1 is allowed.
    """
    if width is None and height is None:
        return Placement(WHOLE, source_width, source_height, source_width, source_height)
    if fit == "cover" and width is not None and height is not None:
        return _cover(source_width, source_height, width, height, enlarge)
    scale = min(
        width / source_width if width is not None else math.inf,
        height / source_height if height is not None else math.inf,
    )
    if not enlarge:
        scale = min(scale, 1.0)
    scaled_width = _pixels(source_width * scale, width)
    scaled_height = _pixels(source_height * scale, height)
    if fit == "pad" and width is not None and height is not None:
        return Placement(WHOLE, scaled_width, scaled_height, width, height)
    return Placement(WHOLE, scaled_width, scaled_height, scaled_width, scaled_height)


def _cover(source_width: int, source_height: int, width: int, height: int, enlarge: bool) -> Placement:
    # The largest part in the middle that has the asked ratio.
    part_width = min(float(source_width), source_height * width / height)
    part_height = min(float(source_height), source_width * height / width)
    scale = width / part_width
    if scale > 1.0 and not enlarge:
        width, height = _pixels(part_width, width), _pixels(part_height, height)
    across = (1 - part_width / source_width) / 2
    down = (1 - part_height / source_height) / 2
    return Placement((across, down, 1 - across, 1 - down), width, height, width, height)


def _pixels(length: float, at_most: int | None) -> int:
    """A whole number of pixels, at least one."""
    rounded = max(1, round(length))
    return rounded if at_most is None else min(rounded, at_most)


def stored_part(part: Box, orientation: int) -> Box:
    """The part of the picture as it is stored that becomes a part of the upright picture.

    Args:
        part: Fractions of the upright picture.
        orientation: EXIF orientation 1 to 8 (Exif 3.0, tag 0x0112).
    """
    left, top, right, bottom = part
    match orientation:
        case 2:
            return (1 - right, top, 1 - left, bottom)
        case 3:
            return (1 - right, 1 - bottom, 1 - left, 1 - top)
        case 4:
            return (left, 1 - bottom, right, 1 - top)
        case 5:
            return (top, left, bottom, right)
        case 6:
            return (top, 1 - right, bottom, 1 - left)
        case 7:
            return (1 - bottom, 1 - right, 1 - top, 1 - left)
        case 8:
            return (1 - bottom, left, 1 - top, right)
        case _:
            return part


def swaps_sides(orientation: int) -> bool:
    """Whether an EXIF orientation makes the stored width the shown height."""
    return orientation >= 5
