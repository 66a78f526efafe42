"""Plots of reports: that what they draw is what the rows say."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streams.report.columns import columns_of
from streams.report.definition import Column
from streams.report.page_parts import PageParts
from streams.report.plots.scale import Scale, nice_step
from streams.report.rows import Rows
from streams.report.wording import Wording
from streams.report.words import words_of
from tidemill.errors import Reject

UTC_ZONE = ZoneInfo("UTC")


def rows(names: list[str], values: list[list[Any]], **declared: Column) -> Rows:
    return Rows("q", columns_of(names, declared, UTC_ZONE), values, len(values))


@pytest.fixture
def parts(tmp_path: Path) -> PageParts:
    return PageParts(tmp_path, Wording("en", UTC_ZONE), words_of("en"))


def heights(svg: str) -> list[float]:
    return [float(found) for found in re.findall(r'<rect [^>]*height="([0-9.]+)"', svg)]


def test_columns_are_as_high_as_their_numbers(parts: PageParts) -> None:
    found = rows(["day", "n"], [[date(2026, 11, 1), 10], [date(2026, 11, 2), 20], [date(2026, 11, 3), Decimal(40)]])
    first, second, third = heights(parts.columns(found, "day", "n", title="N"))
    assert second == pytest.approx(2 * first, abs=0.2)
    assert third == pytest.approx(4 * first, abs=0.2)


def test_a_place_without_a_value_leaves_a_gap_in_a_line(parts: PageParts) -> None:
    hours = [[datetime(2026, 11, 1, hour, tzinfo=UTC_ZONE), value] for hour, value in enumerate([1, 2, None, 3, 4])]
    assert parts.lines(rows(["hour", "n"], hours), "hour", "n", title="N").count("<path") == 2


def test_series_can_be_named_by_a_column(parts: PageParts) -> None:
    found = rows(["x", "who", "n"], [["a", "Ada", 1], ["a", "Bob <b>", 2], ["b", "Ada", 3]])
    svg = parts.lines(found, "x", "n", by="who", title="T & t")
    assert "Ada</text>" in svg
    assert "Bob &lt;b&gt;</text>" in svg
    assert "<b>T &amp; t</b>" in svg


def test_bars_say_their_numbers_as_money(parts: PageParts) -> None:
    found = rows(["name", "n"], [["a", 1234.5], ["b", -10]], n=Column(type="money", currency="USD", digits=0))
    svg = parts.bars(found, "name", "n", title="N")
    assert "$1,235</text>" in svg
    assert "-$10</text>" in svg


@pytest.mark.parametrize("kind", ["lines", "columns"])
def test_a_plot_of_nothing_says_so(parts: PageParts, kind: str) -> None:
    assert "No rows" in getattr(parts, kind)(rows(["x", "n"], []), "x", "n", title="N")
    assert "No rows" in parts.bars(rows(["x", "n"], []), "x", "n", title="N")


def test_a_plot_of_words_or_of_too_much_is_refused(parts: PageParts) -> None:
    with pytest.raises(Reject, match="needs numbers, found 'x'"):
        parts.lines(rows(["x", "n"], [["a", "x"]]), "x", "n", title="N")
    with pytest.raises(Reject, match="at most 2,000"):
        parts.lines(rows(["x", "n"], [[n, n] for n in range(2001)]), "x", "n", title="N")
    with pytest.raises(Reject, match="has no column 'y'; there are: x, n"):
        parts.columns(rows(["x", "n"], [["a", 1]]), "x", "y", title="N")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3.0], [0, 1, 2, 3]),
        ([0.0], [0, 0.25, 0.5, 0.75, 1]),
        ([-5.0, 7.0], [-5, 0, 5, 10]),
        ([123_456.0], [0, 50_000, 100_000, 150_000]),
    ],
)
def test_an_axis_has_round_numbers_and_zero(values: list[float], ticks: list[float]) -> None:
    assert Scale(values, 0, 100).ticks == ticks


def test_steps_are_one_two_two_and_a_half_and_five() -> None:
    assert [nice_step(rough) for rough in (0.9, 1.1, 2.2, 2.6, 6, 30)] == [1, 2, 2.5, 5, 10, 50]


@pytest.mark.parametrize(
    ("locale", "number", "money", "day", "axis"),
    [
        ("en", "1,234,567.50", "€1,234.50", "Nov 24, 2026", "1.3M"),
        ("de", "1.234.567,50", "1.234,50\xa0€", "24.11.2026", "1,3\xa0Mio."),
        ("en-IN", "12,34,567.50", "€1,234.50", "24 Nov 2026", "12.5L"),
    ],
)
def test_values_are_written_as_their_reader_writes_them(
    locale: str, number: str, money: str, day: str, axis: str
) -> None:
    wording = Wording(locale, UTC_ZONE)
    assert wording.number(Decimal("1234567.495"), 2) == number
    assert wording.money(1234.495, "EUR") == money
    assert wording.day(date(2026, 11, 24), "medium") == day
    assert wording.compact(1_250_000) in (axis, axis.replace("1.3", "1.2").replace("1,3", "1,2"))
    assert Wording("de", UTC_ZONE).compact(100_000) == "100.000"
