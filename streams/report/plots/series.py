"""What a plot is made of: places along the axis, and one or more series of numbers over them.

Rows come as a query gives them: with a column of numbers per series, or with one of numbers and one that names the
series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from streams.report.columns import Cell, Shown
from streams.report.rows import Rows
from streams.report.wording import Wording
from tidemill.errors import Reject

MOST_POINTS = 2000
MOST_SERIES = 8


@dataclass(frozen=True)
class Series:
    """One line, or one colour; None where there is no value."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """All series of a plot; `column` is that of their numbers."""

    places: tuple[Cell, ...]
    series: tuple[Series, ...]
    column: Shown

    @property
    def numbers(self) -> list[float]:
        """All values that there are."""
        return [value for series in self.series for value in series.values if value is not None]


def chart_of(rows: Rows, x: str, y: str | Sequence[str], by: str | None, wording: Wording) -> Chart:
    """A chart of some rows.

    Args:
        rows: What a query gave.
        x: Column of the places.
        y: Column of the numbers, or several.
        by: Column that names the series; then `y` is one.
        wording: Writes the series' names.

    Raises:
        Reject: A column isn't there, holds no numbers, or there are too many points or series.
    """
    ys = [y] if isinstance(y, str) else list(y)
    first = rows.column(ys[0])
    if by is not None and len(ys) != 1:
        raise Reject(f"A plot with by={by!r} takes one column of numbers, found {', '.join(ys)}.")
    if by is None:
        places = tuple(row[x] for row in rows)
        series = tuple(Series(rows.column(name).title, tuple(number_of(row[name]) for row in rows)) for name in ys)
    else:
        places = tuple(dict.fromkeys(row[x] for row in rows))
        names = dict.fromkeys(row[by] for row in rows)
        found = {(row[by], row[x]): number_of(row[ys[0]]) for row in rows}
        shown = rows.column(by)
        series = tuple(
            Series(wording.cell(name, shown), tuple(found.get((name, place)) for place in places)) for name in names
        )
    if len(places) > MOST_POINTS or len(series) > MOST_SERIES:
        raise Reject(
            f"A plot has {len(places):,} places and {len(series):,} series, at most {MOST_POINTS:,} and {MOST_SERIES}"
            " are readable.",
            hint="Group them in the query.",
        )
    return Chart(places, series, first)


def number_of(value: Any) -> float | None:
    """A value as a number.

    Raises:
        Reject: It is none.
    """
    if value is None:
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise Reject(f"A plot needs numbers, found {value!r:.80}.")


def place_labels(places: Sequence[Cell], wording: Wording, most: int, column: Shown) -> list[tuple[int, str]]:
    """Which places get a label, and which: as many as there is room for, with the year or the day where it changes.

    Args:
        places: All places.
        wording: Writes them.
        most: How many have room.
        column: The column of the places.
    """
    step = -(-len(places) // max(1, most))
    if places and all(isinstance(place, datetime) for place in places):
        return _moments([place for place in places if isinstance(place, datetime)], wording, step)
    if places and all(isinstance(place, date) for place in places):
        return _days([place for place in places if isinstance(place, date)], wording, step)
    return [(index, wording.cell(places[index], column)) for index in range(0, len(places), step)]


def _days(days: Sequence[date], wording: Wording, step: int) -> list[tuple[int, str]]:
    monthly = len(days) > 1 and all(day.day == 1 for day in days)
    labels, shown_before = [], None
    for index in range(0, len(days), step):
        day = days[index]
        group = day.year if monthly else (day.year, day.month)
        near, far = ("MMM", "MMM y") if monthly else ("d", "d MMM")
        labels.append((index, wording.day(day, near if group == shown_before else far)))
        shown_before = group
    return labels


def _moments(moments: Sequence[datetime], wording: Wording, step: int) -> list[tuple[int, str]]:
    # Hours at round ones, whatever the step would be.
    gap = moments[1] - moments[0] if len(moments) > 1 else timedelta()
    if gap == timedelta(hours=1) and step > 1:
        step = next((hours for hours in (2, 3, 4, 6, 12, 24) if hours >= step), step)
    return [(index, moments[index].strftime("%H:%M")) for index in range(0, len(moments), step)]
