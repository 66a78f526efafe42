"""Listed moments: a job that runs at these times and at no others. Computes only."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise


@dataclass(frozen=True)
class At:
    """Moments in UTC, ascending, each once."""

    times: tuple[datetime, ...]

    def after(self, moment: datetime) -> datetime | None:
        """The first time strictly later than an aware moment."""
        index = bisect_right(self.times, moment)
        return self.times[index] if index < len(self.times) else None

    def before(self, moment: datetime) -> datetime | None:
        """The last time at or before an aware moment."""
        index = bisect_right(self.times, moment)
        return self.times[index - 1] if index else None

    def count(self, start: datetime, end: datetime, most: int) -> int:
        """How many times lie in (start, end]; at most `most`."""
        return max(0, min(bisect_right(self.times, end) - bisect_right(self.times, start), most))

    def shortest_gap(self) -> timedelta | None:
        """The shortest time between two neighbours; None for fewer than two."""
        return min((later - earlier for earlier, later in pairwise(self.times)), default=None)
