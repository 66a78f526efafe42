"""Quiet hours: from a wall clock's time to a later one, in the recipient's time zone, past midnight and clock changes.

Computes only. An interval is two instants: where the clock is set forward over one of them, it is the instant of the
change; where a time comes twice, quiet begins with the first and ends with the second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidemill.errors import ConfigError

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Every day's quiet hours.

    Args:
        begin, end: By the wall clock; an end before the beginning is on the next day.
    """

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet ends in which a moment lies; None where it lies in none.

        Args:
            now: The moment, with its zone.
            zone: The recipient's.

        Returns:
            The end, UTC.
        """
        today, moment = now.astimezone(zone).date(), now
        # Also behind the first that ends: where a change of the clock leaves out a day, two follow on each other.
        for day in (today + timedelta(days=number) for number in (-1, 0, 1)):
            last_day = day + timedelta(days=1) if self.end <= self.begin else day
            begins = _instant(datetime.combine(day, self.begin), zone, last=False)
            ends = _instant(datetime.combine(last_day, self.end), zone, last=True)
            if begins <= moment < ends:
                moment = ends
        return moment if moment != now else None


def parse_quiet(text: str) -> QuietHours:
    """Quiet hours from text such as `22:00-07:00`.

    Raises:
        ConfigError: It isn't of that form, or both times are the same.
    """
    found = _FORM.fullmatch(text)
    if found is None or found.group(1, 2) == found.group(3, 4):
        raise ConfigError(
            f"Quiet hours {text!r} aren't of the form HH:MM-HH:MM with two different times.",
            hint="E.g. 22:00-07:00.",
        )
    hour, minute, last_hour, last_minute = map(int, found.groups())
    return QuietHours(time(hour, minute), time(last_hour, last_minute))


def parse_zone(name: str) -> ZoneInfo:
    """A time zone of the tz database by its name.

    Raises:
        ConfigError: There is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"There is no time zone {name!r}.", hint="Write it as the tz database does, e.g. Europe/Berlin."
        ) from error


def _instant(wall: datetime, zone: ZoneInfo, *, last: bool) -> datetime:
    """When a wall clock shows a time, or first shows a later one; UTC."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return second if last else first
    # In a gap the offset before the change leads to an instant after it, and the other way round.
    before, after = second, first
    old_offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
