"""Lines over time, each named at its end."""

from __future__ import annotations

from streams.report.columns import Shown
from streams.report.plots import drawing
from streams.report.plots.axes import frame, places_below
from streams.report.plots.series import Chart
from streams.report.wording import Wording

_LEAST_GAP = 14.0


def lines(chart: Chart, x: Shown, wording: Wording, *, label: str, width: float, height: float) -> str:
    """The SVG of a line chart.

    Args:
        chart: What is shown; a place without a value leaves a gap.
        x: Column of the places.
        wording: Writes numbers and dates.
        label: What it shows, in words.
        width: Of the picture.
        height: Of the picture.
    """
    named = len(chart.series) > 1
    room = max(drawing.width_of(series.name) for series in chart.series) + 10 if named else 6.0
    found = frame(chart, chart.numbers, wording, width=width, height=height, right_margin=room, legend=False)
    inset = 4.0
    span = found.right - found.left - 2 * inset
    count = len(chart.places)
    at = [found.left + inset + (span * index / (count - 1) if count > 1 else span / 2) for index in range(count)]
    shapes = [*found.shapes, *places_below(chart, x, at, found, wording, from_edge=True)]
    ends = []
    for series, color in zip(chart.series, drawing.COLORS, strict=False):
        points = [(place, value) for place, value in zip(at, series.values, strict=True)]
        for piece in _pieces(points):
            drawn = [(place, found.scale(value)) for place, value in piece]
            shapes.append(drawing.path(drawn, color) if len(drawn) > 1 else drawing.dot(*drawn[0], color))
        last = next(((place, value) for place, value in reversed(points) if value is not None), None)
        if last is not None:
            y = found.scale(last[1])
            shapes.append(drawing.dot(last[0], y, color))
            ends.append((y, series.name, color))
    if named:
        for y, name, color in _apart(ends, found.top, found.bottom):
            shapes.append(drawing.text(found.right + 6, y + 4, name, color=color, weight=600))
    return drawing.picture(width, height, label, shapes)


def _pieces(points: list[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in points:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((place, value))
    return [piece for piece in pieces if piece]


def _apart(ends: list[tuple[float, str, str]], top: float, bottom: float) -> list[tuple[float, str, str]]:
    """Names moved so that none lies upon another, in the order of their lines."""
    placed: list[tuple[float, str, str]] = []
    for y, name, color in sorted(ends):
        placed.append((max(y, placed[-1][0] + _LEAST_GAP) if placed else max(y, top), name, color))
    limit = bottom
    for index in range(len(placed) - 1, -1, -1):
        y, name, color = placed[index]
        placed[index] = (min(y, limit), name, color)
        limit = placed[index][0] - _LEAST_GAP
    return placed
