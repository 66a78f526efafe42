"""When jobs run as clocks and calendars change: each row of the tables in docs/schedules.md, and what they rest on."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.offsets import moments_of
from scheduler.jobs.schedule import Schedule
from tidemill.contracts.duration import parse_duration

DOCUMENT = Path(__file__).parents[2] / "docs" / "schedules.md"
INSTANT = timedelta(microseconds=1)
ROW = re.compile(r"\| (every )?`([^`]+)` \| ([\w/]+) \| (.+?) \| ([\d :+,-]+) \|")


def schedule(cron: str, zone: str) -> Schedule:
    return Schedule(Cron(cron, ZoneInfo(zone)), ZoneInfo(zone))


def times(cron: str, zone: str, start: str, count: int) -> list[str]:
    """The first so many times from a wall time on, as people in the zone write them."""
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - INSTANT
    return [written(each, zone) for each in following(schedule(cron, zone), moment, count)]


def following(schedule: Schedule, moment: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count:
        after = schedule.after(found[-1] if found else moment)
        assert after is not None
        found.append(after)
    return found


def written(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).isoformat(sep=" ", timespec="minutes")


def documented() -> list[tuple[str, str, str, str, list[str]]]:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [(every, text, zone, what, listed.split(", ")) for every, text, zone, what, listed in rows]


@pytest.mark.parametrize(
    ("every", "text", "zone", "listed"),
    [pytest.param(every, text, zone, listed, id=what) for every, text, zone, what, listed in documented()],
)
def test_each_row_of_the_documented_tables_is_so(every: str, text: str, zone: str, listed: list[str]) -> None:
    timetable = schedule(text, zone)
    if every:
        period = parse_duration(text)
        assert period is not None
        timetable = Schedule(Every(period), ZoneInfo(zone))
    moments = [datetime.fromisoformat(each).astimezone(UTC) for each in listed]

    assert following(timetable, moments[0] - INSTANT, len(moments)) == moments
    assert timetable.count(moments[0] - INSTANT, moments[-1], 1000) == len(moments)
    back = [moments[-1]]
    while len(back) < len(moments):
        earlier = timetable.before(back[-1] - INSTANT)
        assert earlier is not None
        back.append(earlier)
    assert back[::-1] == moments


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(documented()) >= 35


class TestDaylightSaving:
    """What a newcomer gets wrong: hours that don't exist, and hours that come twice."""

    def test_a_fixed_time_in_the_spring_gap_runs_once_when_the_gap_ends(self) -> None:
        assert times("30 2 * * *", "Europe/Paris", "2026-03-29 00:00", 2) == [
            "2026-03-29 03:00+02:00",
            "2026-03-30 02:30+02:00",
        ]

    def test_a_scheduler_that_looks_within_the_repeated_hour_doesnt_run_a_fixed_time_again(self) -> None:
        second = datetime(2026, 10, 25, 2, 15, tzinfo=ZoneInfo("Europe/Paris"), fold=1)
        timetable = schedule("30 2 * * *", "Europe/Paris")

        after, before = timetable.after(second), timetable.before(second)

        assert after is not None
        assert before is not None
        assert written(after, "Europe/Paris") == "2026-10-26 02:30+01:00"
        assert written(before, "Europe/Paris") == "2026-10-25 02:30+02:00"

    def test_a_fixed_time_counts_once_on_the_days_of_both_changes(self) -> None:
        timetable = schedule("30 2 * * *", "Europe/Paris")
        year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
        assert timetable.count(*year, 1000) == 365

    def test_an_hourly_job_runs_23_times_in_spring_and_25_times_in_autumn(self) -> None:
        zone = ZoneInfo("Europe/Paris")
        timetable = schedule("0 * * * *", "Europe/Paris")

        def runs(month: int, day: int) -> int:
            start = datetime(2026, month, day, tzinfo=zone)
            end = datetime(2026, month, day + 1, tzinfo=zone)
            return timetable.count(start - INSTANT, end - INSTANT, 1000)

        assert (runs(3, 29), runs(3, 30), runs(10, 25)) == (23, 24, 25)

    def test_a_run_tells_which_time_it_was_moved_from(self) -> None:
        cron = Cron("15,45 2 * * *", ZoneInfo("Europe/Paris"))
        end_of_gap = datetime(2026, 3, 29, 1, tzinfo=UTC)
        assert cron.after(end_of_gap - INSTANT) == end_of_gap
        assert cron.left_out(end_of_gap) == datetime(2026, 3, 29, 2, 15)
        assert cron.left_out(datetime(2026, 3, 28, 1, 15, tzinfo=UTC)) is None
        assert Cron("0 3 * * *", ZoneInfo("Europe/Paris")).left_out(end_of_gap) is None
        assert Cron("0 * * * *", ZoneInfo("Europe/Paris")).left_out(end_of_gap) is None
        assert Cron("0 7 30 12 *", ZoneInfo("Pacific/Apia")).left_out(
            datetime(2011, 12, 30, 10, tzinfo=UTC)
        ) == datetime(2011, 12, 30, 7)

    def test_a_wall_time_is_shown_once_or_twice_or_never(self) -> None:
        zone = ZoneInfo("Europe/Paris")
        assert moments_of(datetime(2026, 3, 29, 2, 30), zone) == ()
        assert moments_of(datetime(2026, 3, 29, 3), zone) == (datetime(2026, 3, 29, 1, tzinfo=UTC),)
        assert moments_of(datetime(2026, 10, 25, 2, 30), zone) == (
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        )
        assert moments_of(datetime(2011, 12, 30, 7), ZoneInfo("Pacific/Apia")) == ()

    def test_a_time_that_isnt_in_the_gap_is_left_where_it_is(self) -> None:
        assert times("30 3 * * *", "Europe/Paris", "2026-03-29 00:00", 1) == ["2026-03-29 03:30+02:00"]
        assert times("59 1 * * *", "Europe/Paris", "2026-03-29 00:00", 1) == ["2026-03-29 01:59+01:00"]

    def test_a_change_at_one_minute_past_midnight_repeats_the_evening_before(self) -> None:
        # St. John's went from 00:01 back to 23:01 of the day before, until 2011.
        assert times("30 23 * * *", "America/St_Johns", "2010-11-06 00:00", 2) == [
            "2010-11-06 23:30-02:30",
            "2010-11-07 23:30-03:30",
        ]
        assert times("*/30 23 * * *", "America/St_Johns", "2010-11-06 23:00", 3) == [
            "2010-11-06 23:00-02:30",
            "2010-11-06 23:30-02:30",
            "2010-11-06 23:30-03:30",
        ]

    def test_a_change_at_midnight_in_utc_is_no_special_case(self) -> None:
        assert times("30 1 * * *", "Africa/Windhoek", "1995-04-01 00:00", 3) == [
            "1995-04-01 01:30+02:00",
            "1995-04-02 01:30+02:00",
            "1995-04-03 01:30+01:00",
        ]
        assert times("0 3 * * *", "Antarctica/Vostok", "1994-10-31 00:00", 3) == [
            "1994-10-31 03:00+00:00",
            "1994-11-01 07:00+07:00",
            "1994-11-02 03:00+07:00",
        ]
        before = schedule("30 1 * * *", "Africa/Windhoek").before(datetime(1995, 4, 2, 0, 45, tzinfo=UTC))
        assert before == datetime(1995, 4, 1, 23, 30, tzinfo=UTC)

    def test_a_repeat_of_two_hours_that_reaches_back_over_midnight_in_utc_is_found(self) -> None:
        # Troll went from 03:00 back to 01:00, at 01:00 UTC.
        after_the_first = datetime(2005, 10, 29, 23, 45, tzinfo=UTC)
        after = schedule("*/30 1 30 10 *", "Antarctica/Troll").after(after_the_first)
        assert after is not None
        assert written(after, "Antarctica/Troll") == "2005-10-30 01:00+00:00"

    def test_half_a_year_with_one_change_has_the_runs_of_that_change(self) -> None:
        timetable = schedule("*/30 2 * * *", "Europe/Paris")
        middle = datetime(2026, 7, 1, 12, tzinfo=UTC)
        assert timetable.count(datetime(2026, 1, 1, tzinfo=UTC), middle, 1000) == 182 * 2 - 2
        assert timetable.count(middle, datetime(2027, 1, 1, tzinfo=UTC), 1000) == 183 * 2 + 2

    def test_a_day_that_a_zone_left_out_still_has_its_yearly_run(self) -> None:
        assert times("0 7 30 12 *", "Pacific/Apia", "2011-01-01 00:00", 2) == [
            "2011-12-31 00:00+14:00",
            "2012-12-30 07:00+14:00",
        ]

    def test_a_zone_that_left_summer_time_for_good_is_followed(self) -> None:
        assert times("0 12 1 7 *", "Europe/Istanbul", "2015-01-01 00:00", 3) == [
            "2015-07-01 12:00+03:00",
            "2016-07-01 12:00+03:00",
            "2017-07-01 12:00+03:00",
        ]
        assert times("0 12 1 1 *", "Europe/Istanbul", "2016-01-01 00:00", 2) == [
            "2016-01-01 12:00+02:00",
            "2017-01-01 12:00+03:00",
        ]

    @pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Australia/Sydney", "Africa/Casablanca"])
    def test_cronsim_gives_the_same_times(self, zone: str) -> None:
        chance = random.Random(zone)
        for _ in range(60):
            expression = expression_by_chance(chance)
            start = datetime(2026, chance.choice([2, 3, 4, 10, 11]), chance.randint(1, 28), tzinfo=UTC)
            start += timedelta(minutes=chance.randrange(1440))
            expected: list[datetime] = []
            for moment in CronSim(expression, start.astimezone(ZoneInfo(zone))):
                in_utc = moment.astimezone(UTC)
                # cronsim gives a time twice where two fall into one gap, and the first of two again after a start in
                # the repeated hour; a job runs once.
                if in_utc > max([start, *expected[-1:]]):
                    expected.append(in_utc)
                if len(expected) == 60:
                    break
            found = following(schedule(expression, zone), start, len(expected))
            assert found == expected, f"{expression!r} from {start}"


class TestAgainstBruteForce:
    """Stepping through every second finds the same as the search, forwards, backwards and by counting."""

    @pytest.mark.parametrize(
        ("zone", "day"),
        [
            ("Europe/Paris", "2026-03-28"),
            ("Europe/Paris", "2026-10-24"),
            ("Australia/Lord_Howe", "2026-04-04"),
            ("Australia/Lord_Howe", "2026-10-03"),
            ("America/St_Johns", "2010-11-06"),
            ("Pacific/Apia", "2011-12-29"),
            ("UTC", "2028-02-28"),
        ],
    )
    def test_by_the_wall_each_moment_whose_wall_time_matches_is_found(self, zone: str, day: str) -> None:
        chance = random.Random(zone + day)
        start = datetime.fromisoformat(day).replace(tzinfo=UTC)
        minutes = [start + timedelta(minutes=count) for count in range(3 * 1440)]
        walls = [(moment, moment.astimezone(ZoneInfo(zone))) for moment in minutes]
        for _ in range(15):
            step, hours = chance.randint(1, 59), sorted(chance.sample(range(24), chance.randint(1, 24)))
            timetable = schedule(f"*/{step} {','.join(map(str, hours))} * * *", zone)
            expected = [moment for moment, wall in walls if wall.minute % step == 0 and wall.hour in hours]
            if not expected:
                continue

            assert following(timetable, start - INSTANT, len(expected)) == expected
            for _ in range(30):
                low, high = sorted(chance.choices(minutes, k=2))
                jot = timedelta(microseconds=chance.choice([-1, 0, 1]))
                within = [moment for moment in expected if low + jot < moment <= high]
                assert timetable.count(low + jot, high, 10**6) == len(within)
                before = [moment for moment in expected if moment <= high + jot]
                if before:
                    assert timetable.before(high + jot) == before[-1]

    def test_times_with_seconds_are_found_to_the_second(self) -> None:
        start = datetime(2026, 11, 24, tzinfo=UTC)
        seconds = [start + timedelta(seconds=count) for count in range(3 * 3600)]
        for seed in range(12):
            chance = random.Random(seed)
            chosen = [sorted(chance.sample(range(60), chance.randint(1, 5))) for _ in range(2)]
            timetable = schedule(" ".join(",".join(map(str, each)) for each in chosen) + " * * * *", "UTC")
            expected = [each for each in seconds if each.second in chosen[0] and each.minute in chosen[1]]
            assert following(timetable, start - INSTANT, len(expected)) == expected
            for _ in range(200):
                moment = chance.choice(seconds)
                passed = [each for each in expected if each <= moment]
                assert timetable.count(start - INSTANT, moment, 10**6) == len(passed)
                if passed:
                    assert timetable.before(moment) == passed[-1]

    def test_times_of_every_second_are_counted_without_visiting_them(self) -> None:
        timetable = schedule("* * * * * *", "Europe/Paris")
        start = datetime(2016, 1, 1, tzinfo=UTC)
        assert timetable.count(start, start + timedelta(days=3650), 10**12) == 3650 * 86_400
        assert timetable.count(start, start + timedelta(days=3650), 100_000) == 100_000
        assert timetable.count(start + timedelta(days=1), start, 10) == 0


def expression_by_chance(chance: random.Random) -> str:
    def field(low: int, high: int) -> str:
        one, other = sorted(chance.choices(range(low, high + 1), k=2))
        return chance.choice(["*", str(one), f"*/{max(1, other)}", f"{one},{other}", f"{one}-{other}"])

    # Day fields that match often, since few years are looked at.
    days = chance.choice(["*", "*", "*/2", "L", "LW", "1-20"])
    return f"{field(0, 59)} {field(0, 23)} {days} * {chance.choice(['*', '*', 'MON-FRI', 'SUN', 'SAT#2'])}"
