"""A table of jobs.toml, read key by key; what is wrong is noted with its line, and reading goes on.

Where a value is wrong, a stand-in is given instead (the default), so that the rest is checked as well: whoever reads
must look at `faults` before using anything. Computes only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from scheduler.jobs.faults import JobFault
from scheduler.jobs.lines import Path, line_of
from scheduler.jobs.offsets import moments_of
from tidemill.contracts.duration import parse_duration
from tidemill.contracts.faults import did_you_mean

T = TypeVar("T")

YEARS = range(1970, 2200)
"""Years that make sense for the times of a job."""
_EXPECTED: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    dict: "a table",
    list: "a list",
}


class Table:
    """One table, and what was found to be wrong in it.

    Args:
        data: The table as tomllib gives it.
        path: Its path in the document.
        lines: Line of each path of the document.
        job: Name of the job that it belongs to, for complaints.
        faults: Where faults are noted; a table within another shares its list.
    """

    def __init__(
        self, data: dict[str, Any], path: Path, lines: Mapping[Path, int], job: str | None, faults: list[JobFault]
    ) -> None:
        self.data, self.job, self.faults = data, job, faults
        self._path, self._lines = path, lines

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def fault(self, found: str, *path: str | int, hint: str | None = None) -> None:
        """Note a fault at a path within the table."""
        self.faults.append(JobFault(line_of(self._lines, (*self._path, *path)), self.job, found, hint))

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Note every key that isn't known."""
        for key in self.data:
            if key not in known:
                hint = did_you_mean(key, known) or f"Known are {', '.join(known)}."
                self.fault(f"there is no key {shown(key)}", key, hint=hint)

    def inner(self, key: str) -> Table | None:
        """A table within this one; None if there is none."""
        data = self.take(key, dict, None)
        return None if data is None else Table(data, (*self._path, key), self._lines, self.job, self.faults)

    def take(self, key: str, kind: type[T], default: Any, expected: str | None = None) -> Any:
        """A value of exactly one type, or the default."""
        if key not in self.data:
            return default
        value = self.data[key]
        if type(value) is not kind:
            self.fault(f"{key} is {shown(value)}, expected {expected or _EXPECTED[kind]}", key)
            return default
        return value

    def choice(self, key: str, allowed: tuple[Any, ...]) -> Any:
        """One of some words; the first is the default."""
        value = self.data.get(key, allowed[0])
        if value not in allowed:
            hint = did_you_mean(value, allowed) if isinstance(value, str) else None
            words = ", ".join(map(shown, allowed[:-1]))
            self.fault(f"{key} is {shown(value)}, expected {words} or {shown(allowed[-1])}", key, hint=hint)
            return allowed[0]
        return value

    def whole_number(self, key: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        value = self.data.get(key, default)
        if type(value) is not int or not 1 <= value <= most:
            self.fault(f"{key} is {shown(value)}, expected a whole number from 1 to {most:,}", key)
            return default
        return value

    def duration(self, key: str, default: timedelta) -> timedelta:
        """A length of time such as 90s, 15m, 6h or 7d."""
        if key not in self.data:
            return default
        try:
            duration = parse_duration(self.data[key])
        except ValueError:
            duration = None
        if duration is None:
            expected = "a whole number of at least 1 and a unit, as in 90s, 15m, 6h or 7d"
            self.fault(f"{key} is {shown(self.data[key])}, expected {expected}", key)
            return default
        return duration

    def moment(self, zone: ZoneInfo, key: str, index: int | None = None) -> datetime | None:
        """A moment in UTC; without an offset it is meant in the zone, the first of two. None: none, or a wrong one."""
        path = (key,) if index is None else (key, index)
        value = self.data.get(key) if index is None else self.data[key][index]
        if value is None:
            return None
        moment = _datetime(value)
        if moment is None:
            self.fault(f"{key} {shown(value)} isn't a date and time, such as 2026-12-24T18:00:00", *path)
            return None
        if moment.year not in YEARS:
            self.fault(f"{key} {shown(value)} lies outside the years {YEARS[0]} to {YEARS[-1]}", *path)
            return None
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        moments = moments_of(moment, zone)
        if not moments:
            hint = "Write a time before or after that hour, or one with an offset."
            self.fault(f"{key} {shown(value)} doesn't exist in {zone.key}: clocks go forward over it", *path, hint=hint)
            return None
        return moments[0]

    def json(self, key: str) -> dict[str, Any]:
        """A table as JSON data: dates and times become ISO 8601 text, which contracts read."""
        data: dict[str, Any] = self._json(self.take(key, dict, {}), key)
        return data

    def _json(self, value: Any, *path: str | int) -> Any:
        if isinstance(value, dict):
            return {key: self._json(each, *path, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self._json(each, *path, index) for index, each in enumerate(value)]
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, float) and not math.isfinite(value):
            self.fault(f"{'.'.join(map(str, path))} is {value}, which JSON can't hold", *path)
        return value


def shown(value: object) -> str:
    """A value much as a person wrote it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _datetime(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time()) if isinstance(value, date) else None
