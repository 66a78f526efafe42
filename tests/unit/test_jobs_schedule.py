"""A schedule's times: bounds, periods and lists; and that searching forwards, backwards and counting agree."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.at import At
from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.schedule import Schedule
from scheduler.jobs.walls import parse_cron

PARIS = ZoneInfo("Europe/Paris")
UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def every(period: timedelta, **bounds: datetime) -> Schedule:
    return Schedule(Every(period, bounds.get("starts", datetime(1970, 1, 1, tzinfo=UTC))), PARIS, **bounds)


def test_a_period_is_aligned_to_the_epoch() -> None:
    timetable = every(timedelta(minutes=15))
    assert timetable.after(NOW) == NOW + timedelta(minutes=15)
    assert timetable.after(NOW - INSTANT) == NOW
    assert timetable.before(NOW) == NOW
    assert timetable.before(NOW - INSTANT) == NOW - timedelta(minutes=15)


def test_a_period_is_aligned_to_its_start_where_it_has_one() -> None:
    start = NOW + timedelta(seconds=7)
    timetable = every(timedelta(hours=1), starts=start)
    assert timetable.after(NOW - timedelta(days=9)) == start
    assert timetable.after(start) == start + timedelta(hours=1)
    assert timetable.before(start) == start
    assert timetable.before(start - INSTANT) is None


def test_the_first_and_the_last_moment_are_included() -> None:
    timetable = every(timedelta(hours=1), starts=NOW, ends=NOW + timedelta(hours=2))
    assert timetable.after(NOW - timedelta(days=1)) == NOW
    assert timetable.after(NOW + timedelta(hours=1)) == NOW + timedelta(hours=2)
    assert timetable.after(NOW + timedelta(hours=2)) is None
    assert timetable.before(NOW + timedelta(days=1)) == NOW + timedelta(hours=2)
    assert timetable.count(NOW - timedelta(days=1), NOW + timedelta(days=1), 100) == 3


def test_a_cron_keeps_to_its_bounds() -> None:
    timetable = Schedule(
        Cron("0 * * * *", PARIS), PARIS, starts=NOW + timedelta(minutes=30), ends=NOW + timedelta(minutes=30)
    )
    only = NOW + timedelta(minutes=30)
    assert timetable.after(NOW - timedelta(days=400)) == only
    assert timetable.after(only) is None
    assert timetable.before(NOW + timedelta(days=400)) == only
    assert timetable.before(only - INSTANT) is None
    assert timetable.count(NOW - timedelta(days=400), NOW + timedelta(days=400), 100) == 1
    assert timetable.count(NOW + timedelta(days=1), NOW + timedelta(days=400), 100) == 0


def test_listed_moments_are_the_only_ones() -> None:
    first, second = NOW, NOW + timedelta(days=3)
    timetable = Schedule(At((first, second)), PARIS)
    assert timetable.after(first - INSTANT) == first
    assert timetable.after(first) == second
    assert timetable.after(second) is None
    assert timetable.before(second - INSTANT) == first
    assert timetable.before(first - INSTANT) is None
    assert timetable.count(first - INSTANT, second, 100) == 2
    assert timetable.count(first, second, 100) == 1
    assert timetable.count(second, first, 100) == 0


def test_the_interval_of_a_run_begins_at_the_time_before_it() -> None:
    timetable = Schedule(Cron("0 7 * * MON-FRI", PARIS), PARIS)
    monday = datetime(2026, 11, 23, 7, tzinfo=PARIS)
    assert timetable.interval(monday) == (datetime(2026, 11, 20, 7, tzinfo=PARIS), monday)


def test_the_interval_of_the_first_run_is_as_long_as_the_one_after_it() -> None:
    timetable = every(timedelta(hours=6), starts=NOW)
    assert timetable.interval(NOW) == (NOW - timedelta(hours=6), NOW)


def test_the_interval_of_an_only_run_is_empty() -> None:
    assert Schedule(At((NOW,)), PARIS).interval(NOW) == (NOW, NOW)


def test_the_interval_of_a_run_by_hand_is_what_has_passed_since_the_last_time() -> None:
    by_hand = NOW + timedelta(minutes=4)
    assert every(timedelta(minutes=15)).interval(by_hand) == (NOW, by_hand)


def test_times_are_given_in_utc_whatever_zone_was_asked_in() -> None:
    for timetable in (every(timedelta(hours=1)), Schedule(Cron("0 7 * * *", PARIS), PARIS)):
        for found in (timetable.after(NOW.astimezone(PARIS)), timetable.before(NOW.astimezone(PARIS))):
            assert found is not None
            assert found.tzinfo is UTC


def schedules_by_chance(chance: random.Random) -> Schedule:
    zone = ZoneInfo(chance.choice(["UTC", "Europe/Paris", "Australia/Lord_Howe", "America/New_York", "Africa/Cairo"]))
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(500_000))
    bounds = chance.choice(
        [(None, None), (start, None), (None, start), (start, start + timedelta(days=chance.randint(0, 90)))]
    )
    expressions = [
        *(
            "30 2 * * *",
            "*/7 * * * *",
            "0 0 L * *",
            "15,45 1-3 * * SUN",
            "*/20 * * * * *",
            "0 12 29 2 *",
            "5 0 * * FRI#2",
        ),
    ]
    pattern: Cron | Every | At
    match chance.randrange(3):
        case 0:
            pattern = Cron(chance.choice(expressions), zone)
        case 1:
            pattern = Every(timedelta(seconds=chance.randint(1, 10_000)), bounds[0] or datetime(1970, 1, 1, tzinfo=UTC))
        case _:
            pattern = At(tuple(sorted({start + timedelta(hours=chance.randrange(2000)) for _ in range(20)})))
    return Schedule(pattern, zone, *bounds)


@pytest.mark.parametrize("seed", range(40))
def test_forwards_backwards_and_counting_agree(seed: int) -> None:
    chance = random.Random(seed)
    timetable = schedules_by_chance(chance)
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
        minutes=chance.randrange(500_000), microseconds=chance.randrange(2)
    )
    forwards: list[datetime] = []
    after = timetable.after(moment)
    while after is not None and len(forwards) < 50:
        forwards.append(after)
        after = timetable.after(after)

    assert forwards == sorted(set(forwards))
    assert all(each > moment for each in forwards)
    for earlier, later in pairwise(forwards):
        assert timetable.before(later) == later
        assert timetable.before(later - INSTANT) == earlier
        assert timetable.count(earlier, later, 10) == 1
    if forwards:
        assert timetable.count(moment, forwards[-1], 1000) == len(forwards)
        assert timetable.count(moment, forwards[-1], 3) == min(3, len(forwards))
        previous = timetable.before(moment)
        assert timetable.before(forwards[0] - INSTANT) == previous
        if previous is not None:
            assert timetable.after(previous) == forwards[0]
    else:
        assert timetable.count(moment, moment + timedelta(days=4000), 10) == 0


@pytest.mark.parametrize(
    ("expression", "runs"),
    [("0 0 29 2 *", 2), ("0 0 29 2 */7", 0), ("* * * * * *", 100_000), ("30 2 * * *", 3650), ("0 7 * * MON-FRI", 2607)],
)
def test_ten_years_of_absence_are_overseen_at_once(expression: str, runs: int) -> None:
    timetable = Schedule(Cron(expression, PARIS), PARIS)
    # The fastest of several: what else the machine does is no part of the answer.
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert timetable.before(NOW) is not None
        assert timetable.after(NOW) is not None
        assert timetable.count(NOW - timedelta(days=3650), NOW, 100_000) == runs
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.02


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("0 25 * * *", "hour '25' isn't understood; expected 0-23"),
        ("60 * * * *", "minute '60' isn't understood; expected 0-59"),
        ("* * 0 * *", "day of month '0' isn't understood; expected 1-31, L (last day) or LW"),
        ("* * * 13 *", "month '13' isn't understood; expected 1-12 or JAN-DEC"),
        ("* * * * FRI-MON", "day of week 'FRI-MON' isn't understood"),
        ("* * * * FRI-MON", "a range goes upwards: write FRI-MON as FRI-SAT,SUN-MON"),
        ("60 * * * * *", "second '60' isn't understood"),
        ("*/0 * * * *", "minute '*/0' isn't understood"),
        ("1,,2 * * * *", "minute '1,,2' isn't understood"),
        ("* * * *", "it has 4 fields; expected five"),
        ("", "it has 0 fields"),
        ("@daily", "names such as @daily aren't known"),
        ("0 0 30 2 *", "no month that it names has such a day, so it never matches"),
        ("9" * 5000, "it has 5000 characters"),
    ],
)
def test_a_bad_cron_says_which_field_is_wrong(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_cron(expression)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("*/7 * * * *", 240),
        ("* * * * * *", 1),
        ("5,50 * * * * *", 15),
        ("0,59 0,23 * * *", 60),
        ("0 0 * * *", 86_400),
        ("0 7 * * MON", 7 * 86_400),
        ("0 7 * * MON,WED", 2 * 86_400),
        ("0 0,23 * * *", 3600),
        ("30 4 L * *", 28 * 86_400),
        ("0 0 29 2 *", 366 * 86_400),
        ("0 0 13 * FRI", 86_400),
    ],
)
def test_the_shortest_time_between_two_runs_is_known(expression: str, seconds: int) -> None:
    assert Cron(expression, PARIS).shortest_gap() == timedelta(seconds=seconds)


def test_the_shortest_time_between_two_runs_is_no_longer_than_any_found_by_walking() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        fields = [sorted(chance.sample(range(60), chance.randint(1, 4))) for _ in range(2)]
        hours = sorted(chance.sample(range(24), chance.randint(1, 4)))
        text = " ".join(",".join(map(str, values)) for values in [*fields, hours])
        cron = Cron(f"{text} * * {chance.choice(['*', 'SUN', 'MON-WED'])}", UTC_ZONE)
        moment, gaps = cron.after(NOW), []
        assert moment is not None
        for _ in range(1500):
            following = cron.after(moment)
            assert following is not None
            gaps.append(following - moment)
            moment = following
        assert min(gaps) == cron.shortest_gap()
