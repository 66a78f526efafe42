"""Quiet hours: past midnight, over clock changes, and what a notice waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from streams.notification.quiet import parse_quiet, parse_zone
from streams.notification.timing import Manners, Timing, put_off_until, timing_of
from tests.unit.notification_samples import NOON
from tidemill.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "now", "until"),
    [
        ("22:00-07:00", "UTC", "2026-11-24 21:59:59", None),
        ("22:00-07:00", "UTC", "2026-11-24 22:00:00", "2026-11-25 07:00:00"),
        ("22:00-07:00", "UTC", "2026-11-25 00:00:00", "2026-11-25 07:00:00"),
        ("22:00-07:00", "UTC", "2026-11-25 06:59:59", "2026-11-25 07:00:00"),
        ("22:00-07:00", "UTC", "2026-11-25 07:00:00", None),
        ("12:30-14:00", "UTC", "2026-11-24 13:00:00", "2026-11-24 14:00:00"),
        ("22:00-07:00", "Europe/Berlin", "2026-11-24 21:30:00", "2026-11-25 06:00:00"),
        ("22:00-07:00", "Asia/Kolkata", "2026-11-24 16:29:00", None),
        ("22:00-07:00", "Asia/Kolkata", "2026-11-24 16:30:00", "2026-11-25 01:30:00"),
        # The night of 28 to 29 March 2026 is an hour shorter in Berlin, that of 24 to 25 October an hour longer.
        ("22:00-07:00", "Europe/Berlin", "2026-03-28 23:00:00", "2026-03-29 05:00:00"),
        ("22:00-07:00", "Europe/Berlin", "2026-10-24 22:00:00", "2026-10-25 06:00:00"),
        # 02:30 doesn't exist that night: quiet ends when clocks jump from 02:00 to 03:00.
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 00:30:00", "2026-03-29 01:00:00"),
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 01:00:00", None),
        ("02:30-06:00", "Europe/Berlin", "2026-03-29 00:59:59", None),
        ("02:30-06:00", "Europe/Berlin", "2026-03-29 01:00:00", "2026-03-29 04:00:00"),
        # 02:30 comes twice that night: quiet lasts from the first to the second.
        ("22:00-02:30", "Europe/Berlin", "2026-10-25 00:45:00", "2026-10-25 01:30:00"),
        ("22:00-02:30", "Europe/Berlin", "2026-10-25 01:30:00", None),
        ("02:30-06:00", "Europe/Berlin", "2026-10-25 00:30:00", "2026-10-25 05:00:00"),
        ("02:30-06:00", "Europe/Berlin", "2026-10-25 01:10:00", "2026-10-25 05:00:00"),
        # Lord Howe Island's clocks go by half an hour.
        ("22:00-02:15", "Australia/Lord_Howe", "2026-10-03 15:00:00", "2026-10-03 15:30:00"),
        # Samoa left out 30 December 2011.
        ("22:00-07:00", "Pacific/Apia", "2011-12-30 09:00:00", "2011-12-30 17:00:00"),
    ],
)
def test_quiet_hours_end_when_the_wall_clock_says_so(hours: str, zone: str, now: str, until: str | None) -> None:
    found = parse_quiet(hours).until(utc(now), ZoneInfo(zone))
    assert found == (utc(until) if until else None)


def test_an_end_of_quiet_hours_is_never_quiet_itself_on_any_day_of_two_years() -> None:
    for hours in ("22:00-07:00", "23:30-02:30", "02:30-03:30", "00:00-23:59"):
        quiet = parse_quiet(hours)
        now = utc("2026-01-01 00:00:00")
        while now < utc("2028-01-01 00:00:00"):
            if (until := quiet.until(now, BERLIN)) is not None:
                assert now < until <= now + timedelta(hours=25)
                assert quiet.until(until, BERLIN) is None
            now += timedelta(hours=31, minutes=13)


@pytest.mark.parametrize("text", ["", "22-7", "22:00-22:00", "24:00-07:00", "22:00-07:60", "22:00 - 07:00", "abc"])
def test_quiet_hours_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"HH:MM-HH:MM.*22:00-07:00"):
        parse_quiet(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "/etc/localtime"])
def test_a_time_zone_that_isnt_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="There is no time zone"):
        parse_zone(name)


def timing(now: datetime = NOON, urgency: str = "normal", digest: str | None = None, told: int = 0) -> Timing:
    manners = Manners(BERLIN, parse_quiet("22:00-07:00"), rate_per_hour=3)
    times = [now - timedelta(minutes=10 * number) for number in range(1, told + 1)]
    return timing_of(manners, now=now, urgency=urgency, digest=digest, digest_seconds=900.0, told=times)


NIGHT = utc("2026-11-24 23:00:00")
MORNING = utc("2026-11-25 06:00:00")


def test_a_notice_goes_at_once_unless_something_speaks_against_it() -> None:
    assert timing() == Timing("now")
    assert timing(told=2) == Timing("now")


def test_a_notice_waits_for_the_end_of_quiet_hours() -> None:
    assert timing(NIGHT) == Timing("held", MORNING, "quiet_hours")


def test_a_notice_over_the_rate_waits_until_the_oldest_of_the_hour_is_an_hour_ago() -> None:
    assert timing(told=3) == Timing("held", NOON + timedelta(minutes=30), "rate")
    assert timing(told=5) == Timing("held", NOON + timedelta(minutes=30), "rate")


def test_a_wait_for_the_rate_that_ends_in_quiet_hours_lasts_until_their_end() -> None:
    assert timing(utc("2026-11-24 20:45:00"), told=3) == Timing("held", MORNING, "rate")


def test_a_digest_that_would_end_in_quiet_hours_ends_with_them() -> None:
    assert timing(digest="comments") == Timing("digest:comments", NOON + timedelta(minutes=15), "digest")
    assert timing(utc("2026-11-24 20:50:00"), digest="comments") == Timing("digest:comments", MORNING, "digest")


def test_what_is_urgent_goes_at_once_whatever_else() -> None:
    assert timing(NIGHT, urgency="high", digest="comments", told=9) == Timing("now")


def test_what_comes_due_in_the_quiet_is_put_off_but_not_for_some_minutes_of_a_wrong_clock() -> None:
    manners = Manners(BERLIN, parse_quiet("22:00-07:00"))
    assert put_off_until(manners, NIGHT) == MORNING
    assert put_off_until(manners, MORNING - timedelta(minutes=4)) is None
    assert put_off_until(manners, NOON) is None
