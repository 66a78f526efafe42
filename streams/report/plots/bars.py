"""Ranked bars: names at the left, numbers at the end of each bar, and so no axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.report.plots import drawing

_ROW, _THICK = 23.0, 15.0
_MOST_FOR_NAMES = 0.42


@dataclass(frozen=True)
class Bar:
    """One bar; `shown` is its number in words."""

    name: str
    value: float
    shown: str


def bars(found: Sequence[Bar], *, label: str, width: float) -> str:
    """The SVG of some bars, in their order.

    Args:
        found: The bars.
        label: What they show, in words.
        width: Of the picture.
    """
    names = [drawing.fitted(bar.name, width * _MOST_FOR_NAMES) for bar in found]
    left = max(drawing.width_of(name) for name in names) + 8
    room = max(drawing.width_of(bar.shown) for bar in found) + 8
    low, high = min(0.0, *(bar.value for bar in found)), max(0.0, *(bar.value for bar in found))
    if low < 0:
        left += room
    span = max(width - left - room, 20.0) / ((high - low) or 1.0)
    zero = left - low * span
    height = _ROW * len(found) + 2
    shapes = []
    for index, (bar, name) in enumerate(zip(found, names, strict=True)):
        y = _ROW * index + 2
        start, end = sorted((zero, zero + bar.value * span))
        shapes.append(drawing.text(0, y + 12, name, color=drawing.INK))
        shapes.append(drawing.box(start, y, end - start, _THICK, drawing.COLORS[0]))
        if bar.value < 0:
            shapes.append(drawing.text(start - 6, y + 12, bar.shown, anchor="end"))
        else:
            shapes.append(drawing.text(end + 6, y + 12, bar.shown))
    shapes.append(drawing.line(zero, 0, zero, height - 4, color=drawing.AXIS))
    return drawing.picture(width, height, label, shapes)
