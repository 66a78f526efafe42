"""Dates in words, such as `yesterday` or `start-of-month - 1 month`, counted from a given moment.

Computes only. The moment is that of the event, never the clock's: the same request means the same days in every run.
"""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_ANCHOR = re.compile(r"now|today|yesterday|tomorrow|start-of-(?:week|month|quarter|year)")
_STEP = re.compile(r"\s*([+-])\s*([0-9]{1,5})\s*(hour|day|week|month|quarter|year)s?")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
GRAMMAR = "today, yesterday, tomorrow or start-of-week, -month, -quarter, -year, then e.g. `- 3 months`"


def relative_date(text: str, at: datetime, zone: ZoneInfo) -> date | None:
    """The day that words mean.

    Args:
        text: As in the module's docstring.
        at: The moment they count from, aware.
        zone: Whose days are meant.

    Returns:
        The day; None where the text is no such words.

    Raises:
        OverflowError: It lies outside the calendar.
    """
    found = _anchored(text)
    if found is None or found[0] == "now" or any(unit == "hour" for _, unit in found[1]):
        return None
    day = _day_of(found[0], at.astimezone(zone).date())
    for count, unit in found[1]:
        day = _moved(day, count, unit)
    return day


def relative_moment(text: str, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The moment that words mean: `now`, or the begin of a day, with hours beside; arguments as `relative_date`."""
    found = _anchored(text)
    if found is None:
        return None
    local = at.astimezone(zone)
    if found[0] != "now":
        local = datetime.combine(_day_of(found[0], local.date()), time(), zone)
    for count, unit in found[1]:
        if unit == "hour":
            # Hours pass, they aren't read off a clock: an hour after 01:30 may be 01:30 again.
            local = (local.astimezone(ZoneInfo("UTC")) + timedelta(hours=count)).astimezone(zone)
        else:
            local = datetime.combine(_moved(local.date(), count, unit), local.time(), zone)
    return local


def _anchored(text: str) -> tuple[str, list[tuple[int, str]]] | None:
    anchor = _ANCHOR.match(text)
    if anchor is None:
        return None
    steps, end = [], anchor.end()
    while step := _STEP.match(text, end):
        steps.append((int(step[1] + step[2]), step[3]))
        end = step.end()
    return (anchor[0], steps) if end == len(text) else None


def _day_of(anchor: str, today: date) -> date:
    match anchor:
        case "yesterday":
            return today - timedelta(days=1)
        case "tomorrow":
            return today + timedelta(days=1)
        case "start-of-week":  # ISO 8601: weeks begin on Monday
            return today - timedelta(days=today.weekday())
        case "start-of-month":
            return today.replace(day=1)
        case "start-of-quarter":
            return today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
        case "start-of-year":
            return today.replace(month=1, day=1)
    return today


def _moved(day: date, count: int, unit: str) -> date:
    if unit in _MONTHS:
        months = day.year * 12 + day.month - 1 + count * _MONTHS[unit]
        year, month = divmod(months, 12)
        if not date.min.year <= year <= date.max.year:
            raise OverflowError(f"year {year} is outside the calendar")
        # The 31st of a shorter month is its last day.
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    return day + timedelta(days=count * (7 if unit == "week" else 1))
