"""The picture of growth: events per second and memory along four axes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure
from bench.report import svg
from bench.report.numbers import short
from bench.report.results import Results

WIDTH, LEFT, GAP, TOP, PLOT, BETWEEN, FOOT = 920.0, 70.0, 52.0, 74.0, 130.0, 40.0, 44.0
TITLES = {
    "partitions": "partitions",
    "keys": "keys",
    "bytes per event": "bytes per event",
    "backlog": "events that wait",
}


def growth(results: Results) -> str:
    """Four columns, two rows."""
    shapes = [svg.text(24, 32, "As things grow: the no-op stream, one process", style="ink title", size=15)]
    room = (WIDTH - LEFT - 28 - GAP * (len(TITLES) - 1)) / len(TITLES)
    for index, (name, title) in enumerate(TITLES.items()):
        left = LEFT + index * (room + GAP)
        rates = list(results.named("growth", f"growth with {name}"))
        sizes = list(results.named("growth", f"growth with {name}, memory"))
        if not rates:
            continue
        shapes.append(svg.text(left, TOP - 14, title, style="ink title", size=12.5))
        shapes += _plot(rates, left, TOP, room)
        shapes += _plot(sizes, left, TOP + PLOT + BETWEEN, room)
    for row, words in enumerate(("events/s", "memory, MB")):
        middle = TOP + row * (PLOT + BETWEEN) + PLOT / 2
        shapes.append(f'<g transform="rotate(-90 22 {middle:g})">{_centred(words, middle)}</g>')
    height = TOP + 2 * PLOT + BETWEEN + FOOT
    described = "Events per second and memory of a worker against partitions, keys, bytes per event and backlog."
    return svg.picture(WIDTH, height, "Growth", described, shapes)


def _centred(words: str, y: float) -> str:
    return svg.text(22, y + 4, words, style="dim", anchor="middle", size=12)


def _plot(figures: Sequence[Figure], left: float, top: float, room: float) -> list[str]:
    points = [(each.at, each.value) for each in figures if each.at is not None and each.value is not None]
    across = svg.Scale([at for at, _ in points], left, left + room, logarithmic=True, tight=True)
    up = svg.Scale([value for _, value in points], top + PLOT, top, logarithmic=False)
    shapes = []
    for tick in up.ticks:
        shapes.append(svg.line(left, up(tick), left + room, up(tick)))
        shapes.append(svg.text(left - 6, up(tick) + 3.5, short(tick), style="dim", anchor="end", size=10.5))
    places = [(across(at), up(value)) for at, value in points]
    shapes.append(svg.path(places, style="bar-ours"))
    for (x, y), (at, _) in zip(places, points, strict=True):
        shapes.append(svg.dot(x, y, style="ours", radius=4))
        shapes.append(svg.text(x, top + PLOT + 16, short(at), style="dim", anchor="middle", size=10.5))
    return shapes
