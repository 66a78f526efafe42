"""Contenders in rows, panels of numbers beside each other: the pictures of rates, delays and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import Figure
from bench.report import columns, svg
from bench.report.columns import Column
from bench.report.numbers import number, short
from bench.report.results import Results

OURS = "tidemill"
WIDTH, LABELS, GAP, TOP, ROW, FOOT = 920.0, 214.0, 32.0, 62.0, 30.0, 34.0
VALUE_ROOM = 52.0
"""Beside the rightmost mark, for its number."""


@dataclass(frozen=True)
class Panel:
    """One panel: a column, or two of which the second is the far end of a span."""

    title: str
    shown: Sequence[Column]
    logarithmic: bool


def throughput(results: Results) -> str:
    """Rates, on axes by powers of ten."""
    panels = [
        Panel("publish, events/s", [columns.PUBLISH], True),
        Panel("no-op handler, events/s", [columns.NO_OP], True),
        Panel("10 ms handler, events/s", [columns.WAITING], True),
    ]
    return _picture(results, "Throughput: more is better", panels)


def latency(results: Results) -> str:
    """Delays from p50 to p99."""
    panels = [
        Panel(
            f"{rate:,} events/s, ms: ● p50  ○ p99", [columns.latency(rate, "p50"), columns.latency(rate, "p99")], True
        )
        for rate in (200, 2000)
    ]
    return _picture(results, "From publishing to the handler: less is better", panels)


def footprint(results: Results) -> str:
    """What a contender costs."""
    panels = [
        Panel("CPU per event, µs", [columns.CPU], True),
        Panel("idle memory, MB", [columns.MEMORY], False),
        Panel("start to first event, s", [columns.START], False),
        Panel("import, ms", [columns.IMPORT], False),
    ]
    return _picture(results, "What it costs: less is better", panels)


def _picture(results: Results, title: str, panels: Sequence[Panel]) -> str:
    keys = list(results.contenders)
    height = TOP + ROW * len(keys) + FOOT
    ours_y = TOP + ROW * keys.index(OURS)
    shapes = [svg.text(24, 32, title, style="ink title", size=15), svg.band(12, ours_y, WIDTH - 24, ROW)]
    for index, key in enumerate(keys):
        style = "ink title" if key == OURS else "ink"
        shapes.append(svg.text(24, TOP + ROW * index + ROW / 2 + 4.5, results.label(key), style=style))
    room = (WIDTH - LABELS - 24 - GAP * (len(panels) - 1)) / len(panels)
    for index, panel in enumerate(panels):
        shapes += _panel(results, panel, keys, LABELS + index * (room + GAP), room)
    described = ", ".join(panel.title for panel in panels)
    return svg.picture(WIDTH, height, title, f"{described}, of {', '.join(map(results.label, keys))}.", shapes)


def _panel(results: Results, panel: Panel, keys: Sequence[str], left: float, room: float) -> list[str]:
    found = {key: [results.find(each.measurement, each.name, key) for each in panel.shown] for key in keys}
    values = [figure.value for some in found.values() for figure in some if figure and figure.value is not None]
    shapes = [svg.text(left, TOP - 10, panel.title, style="dim", size=12)]
    if not values:
        return shapes
    right = left + room - VALUE_ROOM
    scale = svg.Scale(values, left, right, logarithmic=panel.logarithmic)
    bottom = TOP + ROW * len(keys)
    for tick in scale.ticks:
        shapes.append(svg.line(scale(tick), TOP, scale(tick), bottom))
        shapes.append(svg.text(scale(tick), bottom + 16, short(tick), style="dim", anchor="middle", size=10.5))
    for index, key in enumerate(keys):
        shapes += _row(found[key], scale, TOP + ROW * index + ROW / 2, left, panel, ours=key == OURS)
    return shapes


def _row(
    figures: Sequence[Figure | None], scale: svg.Scale, y: float, left: float, panel: Panel, *, ours: bool
) -> list[str]:
    style = "ours" if ours else "other"
    marks = [(scale(figure.value), figure.value) for figure in figures if figure and figure.value is not None]
    if not marks:
        note = next((figure.note for figure in figures if figure), "–")
        return [svg.text(left + 4, y + 4, note or "–", style="dim", size=11)]
    shapes = []
    if len(marks) == 2:
        shapes = [
            svg.line(marks[0][0], y, marks[1][0], y, style=f"bar-{style}", width=3),
            svg.ring(marks[1][0], y, style=f"bar-{style}"),
        ]
    elif not panel.logarithmic:
        shapes.append(svg.line(left, y, marks[0][0], y, style=f"bar-{style}", width=5))
    if panel.logarithmic:
        shapes.append(svg.dot(marks[0][0], y, style=style))
    words = " – ".join(number(value) for _, value in marks)
    shapes.append(svg.text(marks[-1][0] + 10, y + 4, words, style="ink title" if ours else "ink", size=11))
    return shapes
