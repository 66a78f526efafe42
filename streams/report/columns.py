"""Columns: what a query's column is called, and of which type its values are made before they are written anywhere.

Computes only. A declared type is kept to: a value that doesn't fit it is an error, never silently a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from streams.report.definition import Column
from tidemill.errors import Reject

Cell = str | int | float | Decimal | bool | date | datetime | None
NUMBERS = ("int", "decimal", "money", "percent")


@dataclass(frozen=True)
class Shown:
    """One column of a result: its name in the query, its title, and what was declared of it."""

    name: str
    title: str
    declared: Column
    convert: Callable[[Any], Cell]


def columns_of(names: Sequence[str], declared: Mapping[str, Column], zone: ZoneInfo) -> tuple[Shown, ...]:
    """The columns of a result.

    Args:
        names: As the query gives them.
        declared: What the report says of columns.
        zone: In which moments are shown.

    Raises:
        Reject: Two have the same name.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Reject(f"The query gives several columns {', '.join(twice)}.", hint="Name them apart with AS.")
    shown = []
    for name in names:
        column = declared.get(name, Column())
        title = column.title if column.title is not None else name.replace("_", " ").capitalize()
        shown.append(Shown(name, title, column, _converter(name, column, zone)))
    return tuple(shown)


def _converter(name: str, column: Column, zone: ZoneInfo) -> Callable[[Any], Cell]:
    kind = column.type

    def convert(value: Any) -> Cell:
        if value is None:
            return None
        try:
            return _as(kind, value, zone) if kind is not None else _plain(value, zone)
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise Reject(
                f"Column {name!r} holds {value!r:.80}, which is no {kind or 'value that a report can show'}.",
                hint="Change the query, or what [columns] says of it.",
            ) from error

    return convert


def _as(kind: str, value: Any, zone: ZoneInfo) -> Cell:
    match kind:
        case "text":
            plain = _plain(value, zone)
            return plain if isinstance(plain, str) else str(plain)
        case "int":
            number = Decimal(str(value))
            if number != number.to_integral_value():
                raise ValueError(value)
            return int(number)
        case "decimal" | "money" | "percent":
            # By its shortest text, so that 0.1 of SQLite is 0.1, and not 0.1000000000000000055.
            number = Decimal(str(value))
            if not number.is_finite():
                raise ValueError(value)
            return number
        case "bool":
            if value in (0, 1):
                return bool(value)
            raise ValueError(value)
        case "date":
            if isinstance(value, datetime):
                return _local(value, zone).date()
            return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
        case _:
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            elif isinstance(value, date) and not isinstance(value, datetime):
                value = datetime.combine(value, time())
            if not isinstance(value, datetime):
                raise ValueError(value)
            return _local(value, zone)


def _plain(value: Any, zone: ZoneInfo) -> Cell:
    match value:
        case str() | bool() | int() | float() | Decimal():
            return value
        case datetime():
            return _local(value, zone)
        case date():
            return value
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case UUID() | time() | timedelta():
            return str(value)
        case list() | tuple() | dict():
            import json

            return json.dumps(value, default=str, ensure_ascii=False)
    raise ValueError(type(value).__name__)


def _local(value: datetime, zone: ZoneInfo) -> datetime:
    """In the report's zone; a moment without a zone is UTC, as databases keep it."""
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(zone)
