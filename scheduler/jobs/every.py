"""Periods: a time every so often, counted in absolute time from an origin, so that no change of clocks matters.

Computes only, in whole microseconds; each answer costs the same however long ago the origin is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Every:
    """A period from an origin on, in both directions.

    Args:
        period: At least a microsecond.
        origin: One of the times; aware.
    """

    period: timedelta
    origin: datetime = EPOCH

    def after(self, moment: datetime) -> datetime | None:
        """The first time strictly later than an aware moment, in UTC."""
        return self._at((moment - self.origin) // self.period + 1)

    def before(self, moment: datetime) -> datetime | None:
        """The last time at or before an aware moment, in UTC."""
        return self._at((moment - self.origin) // self.period)

    def count(self, start: datetime, end: datetime, most: int) -> int:
        """How many times lie in (start, end]; at most `most`."""
        found = (end - self.origin) // self.period - (start - self.origin) // self.period
        return max(0, min(found, most))

    def shortest_gap(self) -> timedelta | None:
        """The period."""
        return self.period

    def _at(self, index: int) -> datetime | None:
        try:
            return (self.origin + index * self.period).astimezone(UTC)
        except OverflowError:
            return None  # beyond the calendar's end: the years 1 and 9999
