"""Cron expressions in a time zone: the moments at which one fires.

Means what cronsim 2.8 and Debian's cron mean. An expression that names its hours and minutes (neither starts with `*`,
no seconds) fires once a day whatever the clocks do: at the end of the gap if its time is left out, at the first of two
if it comes twice. Any other fires at each moment whose wall time matches. Computes only; never reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from scheduler.jobs.offsets import DAY, STRIDE, Stretch, offset_at, stretches
from scheduler.jobs.walls import WallTimes, parse_cron

_SECOND = timedelta(seconds=1)
_WALKED_DAYS = 2
"""So many days are searched one by one before jumping ahead: no zone repeats wall times of longer ago."""


@dataclass(frozen=True)
class Cron:
    """A cron expression in a zone.

    Raises:
        ValueError: From any method, if the expression is none; `parse_cron` says why.
    """

    expression: str
    zone: ZoneInfo

    @cached_property
    def walls(self) -> WallTimes:
        """The expression's times on the wall."""
        return parse_cron(self.expression)

    def after(self, moment: datetime) -> datetime | None:
        """The first time strictly later than an aware moment, in UTC; None if there is none for 50 years."""
        at = _utc(moment).replace(microsecond=0) + _SECOND
        day, walked = _midnight(at), 0
        while True:
            hit = None
            for stretch in stretches(self.zone, day):
                if at >= stretch.end:
                    continue
                start, offset = max(at, stretch.start), stretch.offset
                hit = self.walls.first(self._wall_from(stretch, start))
                if hit is not None and hit < stretch.end + offset:
                    return max(stretch.start, hit - offset).replace(tzinfo=UTC)
            day, walked = day + DAY, walked + 1
            if walked > _WALKED_DAYS:
                if hit is None:
                    return None
                day = max(day, _midnight(hit) - 2 * DAY)

    def before(self, moment: datetime) -> datetime | None:
        """The last time at or before an aware moment, in UTC; None if there is none for 50 years."""
        at = _utc(moment).replace(microsecond=0)
        day, walked = _midnight(at), 0
        while True:
            hit = None
            for stretch in reversed(stretches(self.zone, day)):
                if at < stretch.start:
                    continue
                last = min(at, stretch.end - _SECOND)
                hit = self.walls.last(last + stretch.offset)
                if hit is not None and hit >= self._wall_from(stretch, stretch.start):
                    return max(stretch.start, hit - stretch.offset).replace(tzinfo=UTC)
            day, walked = day - DAY, walked + 1
            if walked > _WALKED_DAYS:
                if hit is None:
                    return None
                day = min(day, _midnight(hit) + 2 * DAY)

    def count(self, start: datetime, end: datetime, most: int) -> int:
        """How many times lie in (start, end]; counting stops at `most`."""
        low = _utc(start).replace(microsecond=0) + _SECOND
        high = _utc(end).replace(microsecond=0) + _SECOND
        found = 0
        for stretch in self._merged(low, high):
            shown_from = stretch.start + stretch.offset
            wall_from = self._wall_from(stretch, stretch.start)
            if wall_from < shown_from:
                # However many times of the day the gap swallowed, they all become this one moment.
                swallowed = self.walls.first(wall_from)
                if swallowed is not None and swallowed <= shown_from:
                    found, wall_from = found + 1, shown_from + _SECOND
            found += self.walls.count(wall_from, stretch.end + stretch.offset, most)
            if found >= most:
                return most
        return found

    def left_out(self, scheduled_at: datetime) -> datetime | None:
        """The wall time, naive, of a run that is at this scheduled time only because clocks went forward over its own.

        The first if there are several; None for every other scheduled time.
        """
        at = _utc(scheduled_at)
        for stretch in stretches(self.zone, _midnight(at)):
            shown_from = stretch.start + stretch.offset
            if stretch.start == at and self._wall_from(stretch, at) < shown_from:
                swallowed = self.walls.first(self._wall_from(stretch, at))
                return swallowed if swallowed is not None and swallowed < shown_from else None
        return None

    def shortest_gap(self) -> timedelta | None:
        """The shortest time between two times, on a clock that nobody changes."""
        return self.walls.shortest_gap

    def _wall_from(self, stretch: Stretch, start: datetime) -> datetime:
        """The first wall time that counts in a stretch from a moment in it on."""
        if not self.walls.fixed:
            return start + stretch.offset
        if start == stretch.start:
            return stretch.fresh_from
        return max(start + stretch.offset, stretch.fresh_from)

    def _merged(self, low: datetime, high: datetime) -> Iterator[Stretch]:
        """The stretches of [low, high), cut to it; neighbours are one where nothing changes between them."""
        kept: Stretch | None = None
        day = _midnight(low)
        while day < high:
            found = stretches(self.zone, day)
            if day + STRIDE <= high and len(found) == 1 and offset_at(self.zone, day + STRIDE) == found[0].offset:
                found = (found[0]._replace(end=day + STRIDE),)
            for stretch in found:
                start, end = max(stretch.start, low), min(stretch.end, high)
                if start >= end:
                    continue
                cut = Stretch(start, end, stretch.offset, self._wall_from(stretch, start))
                if kept is not None and kept.offset == cut.offset and cut.fresh_from == cut.start + cut.offset:
                    kept = kept._replace(end=end)
                    continue
                if kept is not None:
                    yield kept
                kept = cut
            day = found[-1].end
        if kept is not None:
            yield kept


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)
