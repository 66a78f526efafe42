"""Figures are medians, held against what was promised; numbers have no more digits than were measured."""

from __future__ import annotations

import pytest

from bench.figures import Figure, median_of, not_reached, ratios
from bench.report.numbers import number, short, shown


def test_a_figure_is_the_median_of_its_rounds() -> None:
    figure = median_of("no-op", [30.0, 10.0, 20.0], "events/s")
    assert (figure.value, figure.rounds, figure.met) == (20.0, (30.0, 10.0, 20.0), None)


@pytest.mark.parametrize(("value", "met"), [(0.64, False), (0.65, True)])
def test_a_least_target_is_met_from_its_value_on(value: float, met: bool) -> None:
    assert median_of("share", [value], "x", least=0.65).met is met


@pytest.mark.parametrize(("value", "met"), [(15.0, True), (15.1, False)])
def test_a_most_target_is_met_up_to_its_value(value: float, met: bool) -> None:
    assert median_of("p99", [value], "ms", most=15).met is met


def test_shares_compare_rounds_that_met_the_same_machine() -> None:
    assert ratios([10.0, 5.0], [20.0, 10.0]) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("value", "text"),
    [(61_234.0, "61,200"), (1_000.4, "1,000"), (12.345, "12.3"), (9.996, "10.0"), (0.0614, "0.0614"), (0, "0")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(1_200.0, "1.2k"), (1e6, "1M"), (50.0, "50"), (0.5, "0.5")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_what_could_not_be_reached_says_why_and_what_was_not_measured_is_a_dash() -> None:
    assert shown(not_reached("p99", "ms", contender="celery", note="publishes 1,825/s")) == "publishes 1,825/s"
    assert shown(None) == "–"
    assert shown(Figure("p99", 2.2, "ms")) == "2.20"
