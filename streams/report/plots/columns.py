"""Upright columns over time or over a few names; several series stand on each other, or side by side."""

from __future__ import annotations

from streams.report.columns import Shown
from streams.report.plots import drawing
from streams.report.plots.axes import frame, places_below
from streams.report.plots.series import Chart
from streams.report.wording import Wording

_FILLED = 0.74
"""How much of its place a column takes."""
_WIDEST = 46.0


def columns(chart: Chart, x: Shown, wording: Wording, *, label: str, width: float, height: float, stacked: bool) -> str:
    """The SVG of a column chart.

    Args:
        chart: What is shown.
        x: Column of the places.
        wording: Writes numbers and dates.
        label: What it shows, in words.
        width: Of the picture.
        height: Of the picture.
        stacked: Whether the series of a place stand on each other.
    """
    named = len(chart.series) > 1
    by_place = [[series.values[index] or 0.0 for series in chart.series] for index in range(len(chart.places))]
    if stacked:
        numbers = [sum(max(v, 0) for v in place) for place in by_place]
        numbers += [sum(min(v, 0) for v in place) for place in by_place]
    else:
        numbers = chart.numbers
    found = frame(chart, numbers, wording, width=width, height=height, right_margin=2, legend=named)
    step = (found.right - found.left) / len(chart.places)
    at = [found.left + step * (index + 0.5) for index in range(len(chart.places))]
    wide = min(step * _FILLED, _WIDEST * (1 if stacked else len(chart.series)))
    shapes = []
    for place, values in zip(at, by_place, strict=True):
        up = down = 0.0
        for number, value in enumerate(values):
            color = drawing.COLORS[number % len(drawing.COLORS)]
            base = (up if value >= 0 else down) if stacked else 0.0
            top, bottom = sorted((found.scale(base), found.scale(base + value)))
            left = place - wide / 2 + (0 if stacked else wide / len(values) * number)
            shapes.append(drawing.box(left, top, wide / (1 if stacked else len(values)), bottom - top, color))
            if value >= 0:
                up += value
            else:
                down += value
    zero = found.scale(0)
    axis = drawing.line(found.left, zero, found.right, zero, color=drawing.AXIS)
    labels = places_below(chart, x, at, found, wording, from_edge=False)
    return drawing.picture(width, height, label, [*found.shapes, *shapes, axis, *labels])
