"""What is to be made of one picture, with everything decided: sizes, formats, which ones move.

Pure numbers. Refuses results that no file format or no worker could hold, before any pixel is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.image.encode import WITH_FRAMES
from streams.image.geometry import Placement, place, swaps_sides
from streams.image.settings import ImageSettings
from streams.image.source import Source
from tidemill.errors import Reject
from tidemill.events import OriginalFormat, Rendition, ResultFormat

_SAME: dict[OriginalFormat, ResultFormat] = {
    "jpeg": "jpeg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "avif": "avif",
    # Browsers don't show these.
    "tiff": "png",
    "bmp": "png",
}


@dataclass(frozen=True)
class Target:
    """One rendition, with everything decided."""

    rendition: Rendition
    placement: Placement
    format: ResultFormat
    animated: bool


def shown_size(source: Source) -> tuple[int, int]:
    """Width and height of the upright picture, pixels."""
    return (source.height, source.width) if swaps_sides(source.orientation) else (source.width, source.height)


def plan(source: Source, renditions: Sequence[Rendition], settings: ImageSettings) -> list[Target]:
    """One target per rendition, in the same order.

    Raises:
        Reject: A result would be larger than a file can be, or all together more than a worker should make.
    """
    targets = [_target(source, rendition) for rendition in renditions]
    total = 0
    for target in targets:
        width, height = target.placement.canvas_width, target.placement.canvas_height
        if max(width, height) > settings.max_side:
            raise Reject(
                f"Rendition {target.rendition.name!r} would be {width:,} x {height:,} pixels; "
                f"at most {settings.max_side:,} each way can be written.",
                hint="Ask for a smaller width and height.",
            )
        total += width * height * (source.frames if target.animated else 1)
    if total > settings.max_output_pixels:
        raise Reject(
            f"The renditions would have {total:,} pixels together; at most {settings.max_output_pixels:,} are made.",
            hint="Ask for fewer or smaller ones, or publish several events.",
        )
    return targets


def _target(source: Source, rendition: Rendition) -> Target:
    result_format: ResultFormat = _SAME[source.format] if rendition.format == "same" else rendition.format
    width, height = shown_size(source)
    placement = place(
        width,
        height,
        width=rendition.width,
        height=rendition.height,
        fit=rendition.fit,
        enlarge=rendition.enlarge,
    )
    return Target(rendition, placement, result_format, source.frames > 1 and result_format in WITH_FRAMES)
