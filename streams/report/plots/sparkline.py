"""A line as high as the words around it: how something went, without an axis."""

from __future__ import annotations

from collections.abc import Sequence

from streams.report.plots import drawing

WIDTH, HEIGHT = 92.0, 20.0


def sparkline(values: Sequence[float | None], *, label: str) -> str:
    """The SVG of some values in their order; those that are missing are left out.

    Args:
        values: The numbers.
        label: What they show, in words.
    """
    there = [(index, value) for index, value in enumerate(values) if value is not None]
    if not there:
        return drawing.picture(WIDTH, HEIGHT, label, [])
    low, high = min(value for _, value in there), max(value for _, value in there)
    across = (WIDTH - 8) / max(1, len(values) - 1)
    up = (HEIGHT - 8) / ((high - low) or 1.0)
    points = [(4 + index * across, HEIGHT - 4 - (value - low) * up) for index, value in there]
    shapes = [drawing.path(points, drawing.COLORS[0], 1.4)] if len(points) > 1 else []
    shapes.append(drawing.dot(*points[-1], drawing.COLORS[0], 2.4))
    return drawing.picture(WIDTH, HEIGHT, label, shapes)
