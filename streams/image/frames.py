"""The frames of an opened picture, decoded one at a time, and when an animation shows them.

A JPEG is decoded at the smallest fraction of its size that suffices: that alone makes large photographs several times
faster. Relies on the limits that `source.py` has checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from PIL import Image

from streams.image.color import read_profile
from streams.image.geometry import Placement, swaps_sides
from streams.image.pixels import to_eight_bits
from streams.image.scale import Frame
from streams.image.source import Source, fenced

# All browsers show a frame of 10 ms or less for 100 ms; people have seen the animation like that.
_SHORTEST_MS, _INSTEAD_MS = 10, 100


def decode_frames(source: Source, placements: Sequence[Placement], *, all_frames: bool) -> Iterator[tuple[Frame, int]]:
    """Each frame and how long it is shown, ms.

    Args:
        source: The opened picture.
        placements: What will be made of it; says how large it must be decoded.
        all_frames: Whether more than the first is wanted.

    Raises:
        Reject: A frame is truncated or broken.
    """
    image = source.image
    extent = _draft(image, source.orientation, placements) if source.format == "jpeg" else None
    # See `_count_frames`: an animation may have a still picture before its first frame.
    first = 1 if source.frames > 1 and image.info.get("default_image") else 0
    # A TIFF is turned upright by Pillow while it is decoded.
    orientation = 1 if source.format == "tiff" else source.orientation
    for index in range(first, first + (source.frames if all_frames else 1)):
        with fenced(source.format, source.notes, max_pixels=source.max_pixels):
            if source.frames > 1:
                image.seek(index)
            image.load()
            # Pillow changes an animation's image in place with each seek; convert() makes a copy.
            picture = image.convert("RGBA") if source.frames > 1 else to_eight_bits(image)
            duration_ms = round(image.info.get("duration", 0))
        width, height = extent or picture.size
        profile = read_profile(source.icc, picture.mode)
        yield (
            Frame(picture, width, height, orientation, profile),
            duration_ms if duration_ms > _SHORTEST_MS else _INSTEAD_MS,
        )


def plays(source: Source) -> int:
    """How often an animation is played; 0 is for ever."""
    loop = source.image.info.get("loop")
    if source.format == "gif":
        # The file says how often to repeat, if at all; 0 there means for ever too.
        return 1 if loop is None else (loop and loop + 1)
    return int(loop or 0)


def _draft(image: Image.Image, orientation: int, placements: Sequence[Placement]) -> tuple[float, float] | None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 of its size if that suffices; returns the extent of what comes out."""
    width = max(math.ceil(placement.full_width) for placement in placements)
    height = max(math.ceil(placement.full_height) for placement in placements)
    if swaps_sides(orientation):
        width, height = height, width
    drafted = image.draft(None, (width, height))
    if drafted is None:
        return None
    _, (_, _, extent_width, extent_height) = drafted
    return extent_width, extent_height
