"""Parameters: texts of a request to values of the declared types, each checked against its choices and range.

Computes only. All faults are told at once. A value never becomes part of a text that a database or a template compiles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeAlias
from zoneinfo import ZoneInfo

from streams.report.definition import Parameter
from streams.report.relative_dates import GRAMMAR, relative_date, relative_moment
from tidemill.errors import Reject

Value: TypeAlias = str | int | Decimal | bool | date | datetime | None

_INT = re.compile(r"[+-]?[0-9]{1,18}")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def resolve(
    declared: Mapping[str, Parameter], given: Mapping[str, str], at: datetime, zone: ZoneInfo
) -> dict[str, Value]:
    """The values of all declared parameters, in their order.

    Args:
        declared: What the report takes.
        given: What the request says.
        at: The moment that relative dates count from, aware.
        zone: Whose days are meant.

    Raises:
        Reject: One is missing, unknown, or doesn't fit; the message names every fault.
    """
    faults = []
    values: dict[str, Value] = {}
    for name in sorted(given.keys() - declared.keys()):
        there = ", ".join(declared) or "none"
        faults.append(f"there is no parameter {_shown(name)}, this report takes: {there}")
    for name, parameter in declared.items():
        text = given.get(name, parameter.default)
        try:
            if text is None:
                if not parameter.optional:
                    raise ValueError("is missing")
                values[name] = None
            else:
                values[name] = parse(parameter, text, at, zone)
        except (ValueError, OverflowError) as error:
            faults.append(f"parameter {name!r} {error}")
    if faults:
        raise Reject(f"The report can't be made: {'; '.join(faults)}.")
    return values


def parse(parameter: Parameter, text: str, at: datetime, zone: ZoneInfo) -> Value:
    """The value of one parameter; arguments as `resolve`.

    Raises:
        ValueError: Says what it is and what was expected, to follow the parameter's name.
    """
    value = _typed(parameter, text, at, zone)
    if parameter.choices and as_text(value) not in parameter.choices:
        raise ValueError(f"is {_shown(text)}, expected one of {', '.join(parameter.choices)}")
    for bound, is_beyond, words in ((parameter.min, -1, "at least"), (parameter.max, 1, "at most")):
        if bound is None:
            continue
        limit = _typed(parameter, bound, at, zone)
        if (value > limit) - (value < limit) == is_beyond:  # type: ignore[operator]
            raise ValueError(f"is {_shown(text)}, expected {words} {as_text(limit)}")
    return value


def as_text(value: Value) -> str:
    """A value as a request would say it; parsed again it is the same."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
    return str(value)


def _typed(parameter: Parameter, text: str, at: datetime, zone: ZoneInfo) -> Value:
    shown = _shown(text)
    match parameter.type:
        case "text":
            if len(text) > parameter.max_length:
                raise ValueError(f"has {len(text):,} characters, expected at most {parameter.max_length:,}")
            if _CONTROL.search(text):
                raise ValueError(f"is {shown}, which holds a control character")
            return text
        case "int":
            if not _INT.fullmatch(text):
                raise ValueError(f"is {shown}, expected a whole number")
            return int(text)
        case "decimal":
            return _decimal(text, shown)
        case "bool":
            if (found := _WORDS.get(text.lower())) is None:
                raise ValueError(f"is {shown}, expected true or false")
            return found
        case "date":
            day = relative_date(text, at, zone) or _iso_date(text)
            if day is None:
                raise ValueError(f"is {shown}, expected a date such as 2026-11-24, or {GRAMMAR}")
            return day
        case "datetime":
            moment = relative_moment(text, at, zone) or _iso_moment(text)
            if moment is None:
                raise ValueError(f"is {shown}, expected a moment such as 2026-11-24T08:30:00Z, now, or {GRAMMAR}")
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _decimal(text: str, shown: str) -> Decimal:
    try:
        found = Decimal(text) if len(text) <= 60 else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or abs(found.adjusted()) > 30:
        raise ValueError(f"is {shown}, expected a number such as 12.50")
    return found


def _iso_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _iso_moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if len(text) <= 40 else None
    except ValueError:
        return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
