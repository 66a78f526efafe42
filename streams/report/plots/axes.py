"""What lines and columns have in common: the grid, the numbers at its side, the places below, the names above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.report.columns import Shown
from streams.report.plots import drawing
from streams.report.plots.scale import Scale
from streams.report.plots.series import Chart, place_labels
from streams.report.wording import Wording

TOP, BOTTOM = 10.0, 24.0
LEGEND_HEIGHT = 22.0


@dataclass(frozen=True)
class Frame:
    """Where the plot itself lies, and its scale."""

    left: float
    right: float
    top: float
    bottom: float
    scale: Scale
    shapes: list[str]


def frame(
    chart: Chart,
    numbers: Sequence[float],
    wording: Wording,
    *,
    width: float,
    height: float,
    right_margin: float,
    legend: bool,
) -> Frame:
    """The frame of a plot, with its grid drawn.

    Args:
        chart: What is shown.
        numbers: All values that have to fit.
        wording: Writes numbers.
        width: Of the picture.
        height: Of the picture.
        right_margin: Room for what stands right of the plot.
        legend: Whether the names of the series stand above.
    """
    top, bottom = TOP + (LEGEND_HEIGHT if legend else 0), height - BOTTOM
    scale = Scale(numbers, bottom, top)
    labels = [wording.axis(tick, chart.column) for tick in scale.ticks]
    left = max(drawing.width_of(label) for label in labels) + 8
    right = width - right_margin
    shapes = []
    for tick, label in zip(scale.ticks, labels, strict=True):
        y = scale(tick)
        shapes.append(drawing.line(left, y, right, y, color=drawing.AXIS if tick == 0 else drawing.GRID))
        shapes.append(drawing.text(left - 7, y + 4, label, anchor="end"))
    if legend:
        x = left
        for series, color in zip(chart.series, drawing.COLORS, strict=False):
            shapes.append(drawing.box(x, 3, 10, 10, color))
            shapes.append(drawing.text(x + 15, 12, series.name, color=drawing.INK))
            x += 15 + drawing.width_of(series.name) + 16
    return Frame(left, right, top, bottom, scale, shapes)


def places_below(
    chart: Chart, column: Shown, at: Sequence[float], found: Frame, wording: Wording, *, from_edge: bool
) -> list[str]:
    """The labels of the places, as many as have room.

    Args:
        chart: What is shown.
        column: That of the places.
        at: Where each place is.
        found: The frame.
        wording: Writes them.
        from_edge: Whether the first and last label may not reach beyond the plot.
    """
    widest = max(
        (drawing.width_of(label) for _, label in place_labels(chart.places, wording, 10**6, column)), default=1
    )
    most = int((found.right - found.left) / (widest + 14))
    shapes = []
    free = float("-inf")
    for index, label in place_labels(chart.places, wording, most, column):
        anchor = "middle"
        half = drawing.width_of(label) / 2
        if from_edge and at[index] - half < 0:
            anchor = "start"
        elif at[index] + half > found.right + 20:
            anchor = "end"
        label = drawing.fitted(label, (found.right - found.left) / max(1, min(len(chart.places), most)))
        begin = at[index] - {"start": 0, "middle": half, "end": 2 * half}[anchor]
        if begin < free:
            continue
        free = begin + 2 * half + 6
        shapes.append(drawing.text(at[index], found.bottom + 17, label, anchor=anchor))
    return shapes
