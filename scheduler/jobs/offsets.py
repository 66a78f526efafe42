"""Stretches of a day during which a time zone keeps one offset from UTC, so that cron can count in plain wall time.

Relies on zoneinfo, which has no list of transitions: they are found by halving, to the second, and remembered by day.
A zone that changes its offset twice within 24 hours and back is seen as unchanged; the tz database has none after 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
STRIDE = timedelta(days=14)
"""A zone with one offset at both ends of so long a time kept it: the shortest pause of summer time, that of Ramadan in
Morocco or Egypt, is four weeks long."""
_SECOND = timedelta(seconds=1)


class Stretch(NamedTuple):
    """Part of a UTC day with one offset; its moments are naive."""

    start: datetime
    """First moment, in UTC."""
    end: datetime
    """The moment after the last, in UTC."""
    offset: timedelta
    """Wall time minus UTC."""
    fresh_from: datetime
    """First wall time not shown before. After clocks went forward, it lies before the first that is shown, by the gap;
    after they went back, it lies later, by what is shown for a second time."""


@lru_cache(maxsize=20_000)
def stretches(zone: ZoneInfo, day: datetime) -> tuple[Stretch, ...]:
    """The stretches of the UTC day that starts at `day` (naive, midnight), one after the other."""
    yesterday = _transition(zone, day - DAY, day)
    fresh = datetime.min if yesterday is None else yesterday + offset_at(zone, yesterday - _SECOND)
    offset = offset_at(zone, day)
    change = _transition(zone, day, day + DAY)
    first_fresh = fresh if yesterday == day else max(day + offset, fresh)
    if change is None or change == day + DAY:
        return (Stretch(day, day + DAY, offset, first_fresh),)
    return (
        Stretch(day, change, offset, first_fresh),
        Stretch(change, day + DAY, offset_at(zone, change), max(change + offset, fresh)),
    )


def moments_of(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The moments, in UTC, at which clocks in a zone show a time: none within a gap, two within a repeated hour.

    Args:
        wall: A naive datetime.
        zone: The zone.
    """
    candidates = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple(sorted(each for each in candidates if each.astimezone(zone).replace(tzinfo=None, fold=0) == wall))


def _transition(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment in (start, end] with another offset than `start`."""
    before = offset_at(zone, start)
    if offset_at(zone, end) == before:
        return None
    while end - start > _SECOND:
        middle = start + (end - start) // _SECOND // 2 * _SECOND
        if offset_at(zone, middle) == before:
            start = middle
        else:
            end = middle
    return end


def offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    """Wall time minus UTC at a naive moment in UTC."""
    offset = zone.fromutc(moment.replace(tzinfo=zone)).utcoffset()
    assert offset is not None, "a ZoneInfo knows the offset of every moment"
    return offset
