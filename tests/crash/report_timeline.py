"""The timeline of a storm as shapes: what `report_page.html.j2` draws. Computes only; reads and writes nothing.

Relies on the report's samples (counts since the start, at most some seconds apart). Must not smooth a stall away: a
second without a finished event is drawn as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 1100
GUTTER = 190
"""Room left of the plot for the names of acts and the numbers of axes, px."""
RIGHT = 14
ROW = 20
PANEL = 120
GAP = 34
TOP = 26
MOST_POINTS = 800
"""A longer storm gets wider bins, so that each is at least about one pixel."""
FAMILIES = (
    ("network", ("network", "cut", "lossy", "connections")),
    ("disk", ("disk",)),
    ("clock", ("clock",)),
    ("outside", ("registry", "dead-letter", "dead letter")),
    ("broker", ("broker",)),
)
"""Colour of a nemesis, by what its name holds; the first that fits. A worker's is all the rest."""
ORDER = ("worker", "broker", "network", "disk", "clock", "outside")


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in px, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One curve: its name, its place among those of its panel, and its points as SVG wants them."""

    name: str
    number: int
    path: str


@dataclass(frozen=True)
class Panel:
    """One quantity over time."""

    title: str
    top: float
    bottom: float
    ticks: list[Tick]
    lines: list[Line]


@dataclass(frozen=True)
class Bar:
    """One act or stall: from where to where, in px, and what a pointer on it is told."""

    left: float
    width: float
    family: str
    says: str


@dataclass(frozen=True)
class Row:
    """All acts of one nemesis."""

    name: str
    middle: float
    bars: list[Bar]


@dataclass(frozen=True)
class Timeline:
    """All shapes of the picture, in px."""

    width: int
    height: float
    left: float
    right: float
    top: float
    bottom: float
    rows: list[Row]
    stalls: list[Bar]
    panels: list[Panel]
    times: list[Tick]


def timeline(report: Mapping[str, Any]) -> Timeline:
    """The shapes of a report's timeline.

    Args:
        report: As it is in report.json; times are seconds since its start.
    """
    samples, acts, stalls = report["samples"], report["acts"], report["findings"].get("stalls", [])
    end = max([1.0, *(each["t"] for each in samples), *(each["until"] for each in acts), *(s["to"] for s in stalls)])

    def x(seconds: float) -> float:
        return float(round(GUTTER + (WIDTH - GUTTER - RIGHT) * seconds / end, 2))

    rows = _rows(acts, x)
    top = TOP + ROW * len(rows) + GAP
    # Memory isn't measured with every sample, but then of all workers that there are.
    measured = [each for each in samples if each.get("memory_mb")]
    workers = sorted({name for each in measured for name in each["memory_mb"]})
    curves: list[tuple[str, dict[str, list[tuple[float, float | None]]]]] = [
        (
            "events per second",
            {"published": per_second(samples, "published", end), "done": per_second(samples, "done", end)},
        ),
        ("lag: events that wait", {"lag": [(each["t"], each.get("lag")) for each in samples]}),
        (
            "memory of each worker, MB",
            {name: [(each["t"], each["memory_mb"].get(name)) for each in measured] for name in workers},
        ),
    ]
    panels = []
    for title, lines in curves:
        panels.append(_panel(title, lines, top, x))
        top += PANEL + GAP
    return Timeline(
        width=WIDTH,
        height=top + 4,
        left=x(0),
        right=x(end),
        top=TOP,
        bottom=panels[-1].bottom,
        rows=rows,
        stalls=[
            _bar(each["from"], each["to"], "stall", f"nothing was done for {each['to'] - each['from']:.1f} s", x)
            for each in stalls
        ],
        panels=panels,
        times=[Tick(x(at), clock(at)) for at in steps(end, 10, (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600))],
    )


def per_second(samples: Sequence[Mapping[str, Any]], counted: str, end: float) -> list[tuple[float, float | None]]:
    """How many per second, in bins of equal length, from counts since the start.

    Args:
        samples: With `t` in seconds, and the count.
        counted: The count's name.
        end: Length of the storm in seconds; it decides how wide a bin is, at least a second.

    Returns:
        Middle of each bin and its rate; None where a bin holds no sample to count to.
    """
    width = max(1.0, end / MOST_POINTS)
    last: dict[int, Mapping[str, Any]] = {}
    for each in samples:
        if each.get(counted) is not None:
            last[int(each["t"] / width)] = each
    found: list[tuple[float, float | None]] = []
    before_time, before_count = 0.0, 0
    for number in range(max(last, default=-1) + 1):
        sample = last.get(number)
        rate = None
        if sample is not None and sample["t"] > before_time:
            rate = (sample[counted] - before_count) / (sample["t"] - before_time)
            before_time, before_count = sample["t"], sample[counted]
        found.append(((number + 0.5) * width, rate))
    return found


def steps(highest: float, most: int, sizes: Iterable[float] | None = None) -> list[float]:
    """Round numbers from 0 to `highest`, at most so many intervals; by default in steps of 1, 2 or 5 times ten^n."""
    if highest <= 0:
        return [0.0]
    if sizes is None:
        magnitude = math.floor(math.log10(highest / most))
        sizes = [step * 10.0**power for power in (magnitude, magnitude + 1) for step in (1, 2, 5)]
    # More than the largest of fixed sizes: multiples of that.
    *_, largest = sizes = list(sizes)
    size = next((size for size in sizes if highest / size <= most), largest * math.ceil(highest / largest / most))
    return [number * size for number in range(int(highest / size + 1e-9) + 1)]


def clock(seconds: float, tenths: bool = False) -> str:
    """A time within the storm as m:ss, or h:mm:ss from an hour on; on wish with tenths of a second."""
    whole, tenth = divmod(round(seconds * 10), 10) if tenths else (round(seconds), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}") + (f".{tenth}" if tenths else "")


def family(nemesis: str) -> str:
    """What a nemesis breaks, for its colour."""
    return next((name for name, signs in FAMILIES if any(sign in nemesis.lower() for sign in signs)), "worker")


def _rows(acts: Sequence[Mapping[str, Any]], x: Callable[[float], float]) -> list[Row]:
    names = sorted({each["nemesis"] for each in acts}, key=lambda name: (ORDER.index(family(name)), name))
    return [
        Row(
            name,
            TOP + ROW * (number + 0.5),
            [
                _bar(
                    each["t"],
                    each["until"],
                    family(name),
                    f"{clock(each['t'])} to {clock(each['until'])}, {name}: {each['target']}",
                    x,
                )
                for each in acts
                if each["nemesis"] == name
            ],
        )
        for number, name in enumerate(names)
    ]


def _bar(start: float, end: float, kind: str, says: str, x: Callable[[float], float]) -> Bar:
    # A kill takes no time, but must be seen.
    return Bar(x(start), round(max(3.0, x(end) - x(start)), 2), kind, says)


def _panel(
    title: str, lines: Mapping[str, Sequence[tuple[float, float | None]]], top: float, x: Callable[[float], float]
) -> Panel:
    bottom = top + PANEL
    highest = max((value for points in lines.values() for _, value in points if value is not None), default=0) or 1

    def y(value: float) -> float:
        return round(bottom - PANEL * 0.94 * value / highest, 2)

    return Panel(
        title,
        top,
        bottom,
        [Tick(y(value), f"{value:,.10g}") for value in steps(highest, 4)],
        [Line(name, number, _path(points, x, y)) for number, (name, points) in enumerate(lines.items())],
    )


def _path(
    points: Sequence[tuple[float, float | None]], x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    """An SVG path, broken where there is no value: a worker that is gone has no memory."""
    parts, pen_up = [], True
    for at, value in _thinned(points):
        if value is None:
            pen_up = True
            continue
        parts.append(f"{'M' if pen_up else 'L'}{x(at):g} {y(value):g}")
        pen_up = False
    return "".join(parts)


def _thinned(points: Sequence[tuple[float, float | None]]) -> Iterable[tuple[float, float | None]]:
    """At most about twice MOST_POINTS of them: the highest of each group, and every gap, so that no peak is lost."""
    size = max(1, len(points) // (2 * MOST_POINTS))
    for start in range(0, len(points), size):
        group = points[start : start + size]
        if any(value is None for _, value in group):
            yield from group
        else:
            yield max(group, key=lambda point: point[1] or 0)
