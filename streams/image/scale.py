"""One decoded frame scaled to every size that is asked for, turned upright and coloured right.

Large results are made from the frame itself; small ones from a finished larger one that has at least twice their
size: from there on one more step costs no visible sharpness, and much less time. Turning and colours are done after
the first scaling, when there are fewer pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from streams.image.color import Profile, to_srgb
from streams.image.geometry import WHOLE, Placement, stored_part, swaps_sides

# Before the exact filter, whole blocks of pixels may be averaged as long as this many times the result's size remains.
# Pillow's documentation calls 2 "very good" and 3 indistinguishable from none.
_REDUCING_GAP = 3.0
# A little under 2, because sizes are rounded to whole pixels.
_STEP = 1.98

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Frame:
    """Decoded pixels as they are stored.

    Attributes:
        image: In one of the modes of `pixels.py`.
        width: What of it is picture, pixels; a JPEG decoded at a fraction of its size may end within a pixel.
        height: The same.
        orientation: EXIF orientation, 1 to 8.
        profile: What its colours are.
    """

    image: Image.Image
    width: float
    height: float
    orientation: int
    profile: Profile


def scale_to_all(frame: Frame, placements: Sequence[Placement]) -> list[Image.Image]:
    """The scaled part of each placement (not yet on its canvas), in the given order; mode L, LA, RGB or RGBA."""
    finished: dict[tuple[object, ...], Image.Image] = {}
    levels: list[Image.Image] = []
    for placement in sorted(placements, key=lambda each: each.full_width * each.full_height, reverse=True):
        key = _key(placement)
        if key in finished:
            continue
        level = _smallest_sufficient(levels, placement)
        if level is None:
            image = _from_frame(frame, placement)
        else:
            image = _resized(level, placement.width, placement.height, _within(placement, *level.size))
        # Pillow would write what is left here (comments, profiles) into every file.
        image.info = {}
        finished[key] = image
        if placement.part == WHOLE:
            levels.append(image)
    return [finished[_key(placement)] for placement in placements]


def _key(placement: Placement) -> tuple[object, ...]:
    return (placement.part, placement.width, placement.height)


def _smallest_sufficient(levels: Sequence[Image.Image], placement: Placement) -> Image.Image | None:
    sufficient = [
        level
        for level in levels
        if level.width >= _STEP * placement.full_width and level.height >= _STEP * placement.full_height
    ]
    return min(sufficient, key=lambda level: level.width * level.height, default=None)


def _from_frame(frame: Frame, placement: Placement) -> Image.Image:
    width, height = placement.width, placement.height
    if swaps_sides(frame.orientation):
        width, height = height, width
    left, top, right, bottom = stored_part(placement.part, frame.orientation)
    box = (left * frame.width, top * frame.height, right * frame.width, bottom * frame.height)
    image = _resized(frame.image, width, height, box)
    if frame.orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[frame.orientation])
    return to_srgb(image, frame.profile)


def _within(placement: Placement, width: int, height: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = placement.part
    return (left * width, top * height, right * width, bottom * height)


def _resized(image: Image.Image, width: int, height: int, box: tuple[float, float, float, float]) -> Image.Image:
    if (width, height) == image.size and box == (0.0, 0.0, float(width), float(height)):
        return image.copy()
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=_REDUCING_GAP)
