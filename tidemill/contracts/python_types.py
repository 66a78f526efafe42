"""How Avro types look in generated Python: annotations, default values, and the code that converts nested records.

Computes source text only. Relies on `rules.py` having accepted the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from tidemill.contracts.defaults import python_default
from tidemill.contracts.python_source import bytes_literal, call_lines, quote
from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    optional_of,
    short_name,
)

Use = Callable[[str], str]
"""Notes that the generated module needs a name, and gives the spelling to write here."""

_PRIMITIVES = {
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "bytes": "bytes",
    "string": "str",
}
_LOGICAL = {
    "uuid": "UUID",
    "decimal": "Decimal",
    "date": "date",
    "time-millis": "time",
    "time-micros": "time",
    "timestamp-millis": "datetime",
    "timestamp-micros": "datetime",
    "local-timestamp-millis": "datetime",
    "local-timestamp-micros": "datetime",
}


def annotation(type_: AvroType, use: Use) -> str:
    """The Python type of an Avro type, as source text."""
    optional = optional_of(type_)
    if optional is not None:
        return f"{annotation(optional, use)} | None"
    match type_:
        case Primitive() | Fixed() if type_.logical is not None:
            return use(_LOGICAL[type_.logical])
        case Primitive():
            return use(_PRIMITIVES[type_.kind])
        case Fixed():
            return use("bytes")
        case Array():
            return f"{use('list')}[{annotation(type_.items, use)}]"
        case Map():
            return f"{use('dict')}[{use('str')}, {annotation(type_.values, use)}]"
        case Enum() | Record():
            return short_name(type_.name)
    raise TypeError(f"no Python form for {type_!r}")


def holds_record(type_: AvroType) -> bool:
    """Whether values of the type are, or contain, records: then they are converted, else taken as they are."""
    optional = optional_of(type_)
    if optional is not None:
        return holds_record(optional)
    match type_:
        case Record():
            return True
        case Array():
            return holds_record(type_.items)
        case Map():
            return holds_record(type_.values)
    return False


def is_flat(record: Record) -> bool:
    """Whether no field holds records: then a decoded dict serves as the instance's own `__dict__`."""
    return not any(holds_record(each.type) for each in record.fields)


def from_decoded(type_: AvroType, value: str, depth: int = 0) -> str:
    """Source text of the expression that turns a decoded value into the event's value."""
    return _converted(type_, value, depth, lambda record, inner: f"{short_name(record.name)}.from_record({inner})")


def to_encodable(type_: AvroType, value: str, depth: int = 0) -> str:
    """Source text of the expression that turns an event's value into what fastavro encodes."""
    return _converted(
        type_, value, depth, lambda record, inner: f"{inner}.__dict__" if is_flat(record) else f"{inner}.to_record()"
    )


def _converted(type_: AvroType, value: str, depth: int, convert: Callable[[Record, str], str]) -> str:
    optional = optional_of(type_)
    if optional is not None:
        return f"None if {value} is None else {_converted(optional, value, depth, convert)}"
    item, key = ("item", "key") if depth == 0 else (f"item_{depth + 1}", f"key_{depth + 1}")
    match type_:
        case Record():
            return convert(type_, value)
        case Array():
            return f"[{_converted(type_.items, item, depth + 1, convert)} for {item} in {value}]"
        case Map():
            inner = _converted(type_.values, item, depth + 1, convert)
            return f"{{{key}: {inner} for {key}, {item} in {value}.items()}}"
    raise TypeError(f"{type_!r} holds no record")


def default_source(each: Field, use: Use, *, spread: bool = False) -> str | None:
    """Source text of a field's default value; None if it has none.

    Args:
        each: The field.
        use: Notes the names that it needs.
        spread: One item a line, for lists, maps and records.
    """
    if each.default is MISSING:
        return None
    return _value(each.type, python_default(each.type, each.default), use, spread)


def _value(type_: AvroType, value: Any, use: Use, spread: bool) -> str:
    optional = optional_of(type_)
    if optional is not None and value is not None:
        return _value(optional, value, use, spread)
    match type_, value:
        case (Array(), list()):
            return _spread("[", [_value(type_.items, item, use, spread) for item in value], "]", spread)
        case (Map(), dict()):
            items = [f"{quote(key)}: {_value(type_.values, item, use, spread)}" for key, item in value.items()]
            return _spread("{", items, "}", spread)
        case (Record(), dict()):
            arguments = [f"{each.name}={_value(each.type, value[each.name], use, spread)}" for each in type_.fields]
            return _spread(f"{short_name(type_.name)}(", arguments, ")", spread)
        case (_, str()):
            return quote(value)
        case (_, bytes()):
            return bytes_literal(value)
        case (_, UUID()):
            return f'{use("UUID")}("{value}")'
        case (_, Decimal()):
            return f'{use("Decimal")}("{value}")'
        case (_, datetime()):
            zone = f", tzinfo={use('UTC')}" if value.tzinfo is not None else ""
            return (
                f"{use('datetime')}({_moment(value, 'year', 'month', 'day', 'hour', 'minute')}{_seconds(value)}{zone})"
            )
        case (_, date()):
            return f"{use('date')}({_moment(value, 'year', 'month', 'day')})"
        case (_, time()):
            return f"{use('time')}({_moment(value, 'hour', 'minute')}{_seconds(value)})"
    return repr(value)


def _spread(opening: str, items: Collection[str], closing: str, spread: bool) -> str:
    if spread and items:
        return "\n".join(call_lines(opening, list(items), closing, ""))
    return f"{opening}{', '.join(items)}{closing}"


def _moment(value: object, *parts: str) -> str:
    return ", ".join(str(getattr(value, part)) for part in parts)


def _seconds(value: datetime | time) -> str:
    if value.microsecond:
        return f", {value.second}, {value.microsecond}"
    return f", {value.second}" if value.second else ""
