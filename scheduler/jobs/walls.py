"""A cron expression as a set of wall-clock times: what a clock on the wall shows when it matches, zones left aside.

Relies on cronsim for what an expression means (fields, names, `L`, `LW`, `#`, when day-of-month and day-of-week must
both match) and searches by itself, in both directions and by counting. Computes only; knows nothing of time zones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

LONGEST_EXPRESSION = 200
"""Characters; a longer one is a mistake, or an attack on whoever parses its numbers."""
MOST_YEARS = 50
"""How far a match is looked for: leap days that must be a certain weekday come every 28 years, or 40 around 2100."""
_MOST_MONTHS = 1500
_DAY_SECONDS = 86_400

_EXPECTED = {
    Field.SECOND: "0-59",
    Field.MINUTE: "0-59",
    Field.HOUR: "0-23",
    Field.DAY: "1-31, L (last day) or LW (last weekday)",
    Field.MONTH: "1-12 or JAN-DEC",
    Field.DOW: "0-7 or SUN-SAT (0 and 7 are Sunday), 5L (the last Friday) or 2#1 (the first Tuesday)",
}
_NAMES = {Field.DAY: "day of month", Field.DOW: "day of week"}


class WallTimes:
    """The times that a cron expression matches, as naive datetimes of whole seconds. Made by `parse_cron`."""

    def __init__(self, sim: CronSim, *, fixed: bool) -> None:
        self.fixed = fixed
        """Whether it names minutes and hours of its own (Debian's cron treats such jobs specially around DST)."""
        self._sim = sim
        self._seconds, self._minutes, self._hours = sorted(sim.seconds), sorted(sim.minutes), sorted(sim.hours)
        self._months = sim.months
        self._per_day = len(self._seconds) * len(self._minutes) * len(self._hours)
        self._days: dict[tuple[int, int], list[int]] = {}

    def first(self, at: datetime) -> datetime | None:
        """The earliest match at or after a naive moment of whole seconds; None if there is none for 50 years."""
        if at.day in self._days_of(at.year, at.month):
            clock = self._clock_from(at.hour, at.minute, at.second)
            if clock is not None:
                return datetime.combine(at, clock)
        year, month, day = at.year, at.month, at.day
        last_year = min(at.year + MOST_YEARS, 9999)
        while year <= last_year:
            days = self._days_of(year, month)
            index = bisect_right(days, day)
            if index < len(days):
                return datetime(year, month, days[index], self._hours[0], self._minutes[0], self._seconds[0])
            year, month, day = (year, month + 1, 0) if month < 12 else (year + 1, 1, 0)
        return None

    def last(self, at: datetime) -> datetime | None:
        """The latest match at or before a naive moment of whole seconds; None if there is none for 50 years."""
        if at.day in self._days_of(at.year, at.month):
            clock = self._clock_to(at.hour, at.minute, at.second)
            if clock is not None:
                return datetime.combine(at, clock)
        year, month, day = at.year, at.month, at.day
        first_year = max(at.year - MOST_YEARS, 1)
        while year >= first_year:
            days = self._days_of(year, month)
            index = bisect_left(days, day)
            if index:
                return datetime(year, month, days[index - 1], self._hours[-1], self._minutes[-1], self._seconds[-1])
            year, month, day = (year, month - 1, 32) if month > 1 else (year - 1, 12, 32)
        return None

    def count(self, start: datetime, end: datetime, most: int) -> int:
        """How many matches lie in [start, end), naive moments of whole seconds; counting stops at `most`."""
        if end <= start:
            return 0
        found = -self._rank(start)
        year, month, day = start.year, start.month, start.day
        while (year, month) < (end.year, end.month):
            days = self._days_of(year, month)
            found += (len(days) - bisect_left(days, day)) * self._per_day
            if found >= most:
                return most
            year, month, day = (year, month + 1, 0) if month < 12 else (year + 1, 1, 0)
        days = self._days_of(year, month)
        found += (bisect_left(days, end.day) - bisect_left(days, day)) * self._per_day + self._rank(end)
        return min(found, most)

    @cached_property
    def shortest_gap(self) -> timedelta:
        """The shortest time between two matches that follow each other, on a clock that nobody changes.

        Exact within a day; how close two days can be is looked up over five years.
        """
        seconds, minutes, hours = self._seconds, self._minutes, self._hours
        of_minute, of_hour = seconds[-1] - seconds[0], (minutes[-1] - minutes[0]) * 60 + seconds[-1] - seconds[0]
        of_day = (hours[-1] - hours[0]) * 3600 + of_hour
        gaps = [later - earlier for earlier, later in pairwise(seconds)]
        gaps += [(later - earlier) * 60 - of_minute for earlier, later in pairwise(minutes)]
        gaps += [(later - earlier) * 3600 - of_hour for earlier, later in pairwise(hours)]
        if not gaps or min(gaps) > _DAY_SECONDS - of_day:
            gaps.append(self._fewest_days_between() * _DAY_SECONDS - of_day)
        return timedelta(seconds=min(gaps))

    def _fewest_days_between(self) -> int:
        years = range(2026, 2031)
        days = [
            date(year, month, day).toordinal()
            for year in years
            for month in range(1, 13)
            for day in self._days_of(year, month)
        ]
        return min((later - earlier for earlier, later in pairwise(days)), default=366)

    def _days_of(self, year: int, month: int) -> list[int]:
        if month not in self._months:
            return []
        days = self._days.get((year, month))
        if days is None:
            if len(self._days) >= _MOST_MONTHS:
                self._days.clear()
            lengths = range(1, monthrange(year, month)[1] + 1)
            days = [day for day in lengths if self._sim.match_day(date(year, month, day))]
            self._days[year, month] = days
        return days

    def _clock_from(self, hour: int, minute: int, second: int) -> time | None:
        hours, minutes, seconds = self._hours, self._minutes, self._seconds
        if _in(hours, hour):
            if _in(minutes, minute) and second <= seconds[-1]:
                return time(hour, minute, seconds[bisect_left(seconds, second)])
            if minute < minutes[-1]:
                return time(hour, minutes[bisect_right(minutes, minute)], seconds[0])
        if hour < hours[-1]:
            return time(hours[bisect_right(hours, hour)], minutes[0], seconds[0])
        return None

    def _clock_to(self, hour: int, minute: int, second: int) -> time | None:
        hours, minutes, seconds = self._hours, self._minutes, self._seconds
        if _in(hours, hour):
            if _in(minutes, minute) and second >= seconds[0]:
                return time(hour, minute, seconds[bisect_right(seconds, second) - 1])
            if minute > minutes[0]:
                return time(hour, minutes[bisect_left(minutes, minute) - 1], seconds[-1])
        if hour > hours[0]:
            return time(hours[bisect_left(hours, hour) - 1], minutes[-1], seconds[-1])
        return None

    def _rank(self, at: datetime) -> int:
        """How many matches of its day lie before a moment."""
        if at.day not in self._days_of(at.year, at.month):
            return 0
        of_minute = bisect_left(self._seconds, at.second) if _in(self._minutes, at.minute) else 0
        of_hour = bisect_left(self._minutes, at.minute) * len(self._seconds) + of_minute
        before = bisect_left(self._hours, at.hour) * len(self._minutes) * len(self._seconds)
        return before + (of_hour if _in(self._hours, at.hour) else 0)


@lru_cache(maxsize=20_000)
def parse_cron(expression: str) -> WallTimes:
    """The wall-clock times of a cron expression of five fields, or of six with seconds first.

    Raises:
        ValueError: It isn't one; says which field is wrong and what is expected there.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(f"it has {len(expression)} characters, at most {LONGEST_EXPRESSION} make sense")
    parts = expression.upper().split()
    if expression.startswith("@"):
        raise ValueError("names such as @daily aren't known; write five fields: 0 0 * * * is every midnight")
    if len(parts) not in (5, 6):
        raise ValueError(
            f"it has {len(parts)} fields; expected five (minute, hour, day of month, month, day of week), "
            "or six with seconds first"
        )
    fields = list(Field)[6 - len(parts) :]
    for field, part in zip(fields, parts, strict=True):
        try:
            field.parse(part)
        except CronSimError as error:
            name = _NAMES.get(field, field.name.lower())
            raise ValueError(f"{name} {part!r} isn't understood; expected {_EXPECTED[field]}{_advice(part)}") from error
    try:
        sim = CronSim(expression, datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValueError("no month that it names has such a day, so it never matches") from error
    fixed = len(parts) == 5 and not parts[0].startswith("*") and not parts[1].startswith("*")
    walls = WallTimes(sim, fixed=fixed)
    if walls.first(datetime(2000, 1, 1)) is None:
        raise ValueError("there is no such day within 50 years, so it never matches")
    return walls


def _in(values: list[int], value: int) -> bool:
    index = bisect_left(values, value)
    return index < len(values) and values[index] == value


def _advice(part: str) -> str:
    first, dash, rest = part.partition("-")
    if dash and first and rest and "," not in part and "/" not in part:
        return "; a range goes upwards: write FRI-MON as FRI-SAT,SUN-MON"
    return ", or lists (1,15), ranges (1-5) and steps (*/10) of them"
