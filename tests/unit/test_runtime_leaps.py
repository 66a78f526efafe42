"""Which finished runs are leapt over, and from where."""

from __future__ import annotations

from tidemill.runtime.leaps import LONG_EVENTS, Leaps

KEY = ("step.asked", 0)


def leaps(*finished: range) -> Leaps:
    made = Leaps()
    made.begin(KEY, finished)
    return made


def test_a_long_run_is_leapt_over_from_where_reading_is() -> None:
    made = leaps(range(5, 100_000))
    made.reach(KEY, 3)
    assert made.due == {}
    made.reach(KEY, 1000)
    assert made.due == {KEY: range(1000, 100_000)}
    assert not made


def test_a_short_run_is_read() -> None:
    made = leaps(range(5, 5 + LONG_EVENTS - 1))
    assert not made
    made.reach(KEY, 6)
    assert made.due == {}


def test_of_a_run_that_is_all_but_read_nothing_is_leapt_over() -> None:
    made = leaps(range(5, 10_000))
    made.reach(KEY, 10_000 - LONG_EVENTS + 1)
    assert made.due == {}
    assert not made


def test_each_run_is_leapt_over_in_its_turn() -> None:
    made = leaps(range(10, 20_000), range(20_001, 20_010), range(20_100, 90_000))
    made.reach(KEY, 10)
    assert made.due.pop(KEY) == range(10, 20_000)
    made.reach(KEY, 20_050)
    assert made.due == {}
    made.reach(KEY, 20_500)
    assert made.due == {KEY: range(20_500, 90_000)}


def test_a_partition_that_went_elsewhere_or_is_read_from_elsewhere_leaps_no_more() -> None:
    made = leaps(range(5, 100_000))
    made.reach(KEY, 10)
    made.forget([KEY])
    assert made.due == {}
    made.begin(KEY, [range(5, 100_000)])
    made.begin(KEY, [])
    made.reach(KEY, 10)
    assert made.due == {}
