"""When a job runs: a pattern of times, and the first and last moment between which it counts.

The patterns are `Cron`, `Every` and `At`. Computes only: nothing here reads the clock, all moments are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scheduler.jobs.at import At
from scheduler.jobs.cron import Cron
from scheduler.jobs.every import EPOCH, Every
from scheduler.jobs.record import Record
from scheduler.jobs.walls import parse_cron
from tidemill.contracts.duration import format_duration, parse_duration

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Schedule:
    """The scheduled times of a job. All moments are aware; those returned are in UTC.

    Args:
        pattern: Where the times lie.
        zone: The job's time zone: that of its cron expression, and in which its expressions see times.
        starts: The first moment at which a time may lie; None: no bound.
        ends: The last moment at which a time may lie; None: no bound.
    """

    pattern: Cron | Every | At
    zone: ZoneInfo
    starts: datetime | None = None
    ends: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """The first scheduled time strictly later than a moment; None if there is none (within 50 years for cron)."""
        if self.starts is not None and moment < self.starts:
            moment = self.starts - _INSTANT
        found = self.pattern.after(moment)
        return None if found is None or (self.ends is not None and found > self.ends) else found

    def before(self, moment: datetime) -> datetime | None:
        """The last scheduled time at or before a moment; None if there is none (within 50 years for cron)."""
        if self.ends is not None and moment > self.ends:
            moment = self.ends
        found = self.pattern.before(moment)
        return None if found is None or (self.starts is not None and found < self.starts) else found

    def count(self, start: datetime, end: datetime, most: int) -> int:
        """How many scheduled times lie in (start, end]; counting stops at `most`, and costs little whatever it is."""
        if self.starts is not None and start < self.starts:
            start = self.starts - _INSTANT
        if self.ends is not None and end > self.ends:
            end = self.ends
        return self.pattern.count(start, end, most) if start < end else 0

    def interval(self, scheduled_at: datetime) -> tuple[datetime, datetime]:
        """The stretch of time that a run stands for: from the scheduled time before it to its own.

        The first run of all gets one as long as the next. A run between scheduled times (by hand) gets what has passed
        since the last one.
        """
        previous = self.before(scheduled_at - _INSTANT)
        if previous is None:
            following = self.after(scheduled_at)
            previous = scheduled_at if following is None else scheduled_at - (following - scheduled_at)
        return previous.astimezone(UTC), scheduled_at.astimezone(UTC)

    def to_data(self) -> dict[str, Any]:
        """The schedule as JSON data, in the words of jobs.toml; what isn't set is left out."""
        data: dict[str, Any] = {"timezone": self.zone.key}
        match self.pattern:
            case Cron():
                data["cron"] = self.pattern.expression
            case Every():
                data["every"] = format_duration(self.pattern.period)
            case At():
                data["at"] = [moment.isoformat() for moment in self.pattern.times]
        for name, bound in (("starts", self.starts), ("ends", self.ends)):
            if bound is not None:
                data[name] = bound.isoformat()
        return data

    @classmethod
    def from_record(cls, record: Record) -> Schedule:
        """The schedule that `to_data` wrote.

        Raises:
            ValueError: It is none; says what was found and what was expected.
        """
        zone_name = record.take("timezone", str, "UTC")
        try:
            zone = ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError(f"this machine knows no time zone {zone_name!r}") from error
        starts, ends = record.moment("starts"), record.moment("ends")
        kinds = [kind for kind in ("cron", "every", "at") if kind in record]
        pattern: Cron | Every | At
        if kinds == ["cron"]:
            pattern = Cron(record.take("cron", str), zone)
            parse_cron(pattern.expression)
        elif kinds == ["every"]:
            period = parse_duration(record.take("every", str))
            if period is None:
                raise ValueError("'every' is forever, expected a time such as 5m")
            pattern = Every(period, EPOCH if starts is None else starts)
        elif kinds == ["at"]:
            pattern = At(tuple(sorted(set(record.moments("at")))))
        else:
            raise ValueError(f"expected one of cron, every and at, found {' and '.join(kinds) or 'none'}")
        return cls(pattern, zone, starts, ends)
