"""A field's default: from the JSON of the schema to the Python value that readers get.

fastavro hands a missing field's default out as the schema's raw JSON, so logical types, bytes and lists need this.
The mapping is Avro 1.12's, "Schema Record", table of default values. Standard library only; no I/O.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tidemill.contracts.schema import MISSING, Array, AvroType, Enum, Field, Fixed, Map, Primitive, Record, Union

_INT_BITS = {"int": 31, "long": 63}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def python_default(type_: AvroType, default: Any) -> Any:
    """The Python value for a default; lists, maps and records (as dicts) are made anew at each call.

    Args:
        type_: The field's type.
        default: The default as JSON data.

    Raises:
        ValueError: The default doesn't fit the type; the message says what was expected.
    """
    match type_:
        case Primitive():
            return _logical(type_, _primitive(type_.kind, default))
        case Fixed():
            value = _primitive("bytes", default)
            if len(value) != type_.size:
                raise ValueError(f"exactly {type_.size} bytes expected, found {len(value)}")
            return _logical(type_, value)
        case Enum():
            if default not in type_.symbols:
                raise ValueError(f"one of {', '.join(type_.symbols)} expected, found {default!r}")
            return default
        case Array():
            if not isinstance(default, list):
                raise ValueError(f"a list expected, found {default!r}")
            return [python_default(type_.items, item) for item in default]
        case Map():
            if not isinstance(default, dict):
                raise ValueError(f"an object expected, found {default!r}")
            return {key: python_default(type_.values, value) for key, value in default.items()}
        case Union():
            try:
                return python_default(type_.branches[0], default)
            except ValueError as error:
                # Allowed from Avro 1.12 on only; fastavro and older readers take the first branch (AVRO-3649).
                raise ValueError(f"the default of a union must fit its first type: {error}") from error
        case Record():
            return _record(type_, default)


def _record(record: Record, default: Any) -> dict[str, Any]:
    if not isinstance(default, dict):
        raise ValueError(f"an object expected, found {default!r}")
    if unknown := default.keys() - {field.name for field in record.fields}:
        raise ValueError(f"{record.name} has no field {', '.join(sorted(map(repr, unknown)))}")
    return {field.name: _field(field, default.get(field.name, field.default)) for field in record.fields}


def _field(field: Field, default: Any) -> Any:
    if default is MISSING:
        raise ValueError(f"field {field.name!r} is missing, and it has no default of its own")
    return python_default(field.type, default)


def _primitive(kind: str, default: Any) -> Any:
    match kind, default:
        case ("null", None):
            return None
        case ("boolean", bool()):
            return default
        case ("int" | "long", int()) if not isinstance(default, bool):
            bits = _INT_BITS[kind]
            if not -(1 << bits) <= default < 1 << bits:
                raise ValueError(f"{default} doesn't fit into {bits + 1} bits")
            return default
        case ("float" | "double", int() | float()) if not isinstance(default, bool) and math.isfinite(default):
            return float(default)
        case ("string", str()):
            return default
        case ("bytes", str()):
            try:
                return default.encode("iso-8859-1")
            except UnicodeEncodeError as error:
                raise ValueError(f"bytes are written as characters up to \\u00ff, found {default!r}") from error
    raise ValueError(f"{_WORDS[kind]} expected, found {default!r}")


_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "int": "a whole number",
    "long": "a whole number",
    "float": "a finite number",
    "double": "a finite number",
    "string": "text",
    "bytes": "text with one character per byte",
}


def _logical(type_: Primitive | Fixed, value: Any) -> Any:
    """The value as fastavro's readers would give it."""
    try:
        match type_.logical:
            case "uuid":
                return UUID(value)
            case "decimal":
                return Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-type_.scale)
            case "date":
                return date(1970, 1, 1) + timedelta(days=value)
            case "time-millis":
                return _time(value * 1000)
            case "time-micros":
                return _time(value)
            case "timestamp-millis":
                return _EPOCH + timedelta(milliseconds=value)
            case "timestamp-micros":
                return _EPOCH + timedelta(microseconds=value)
            case "local-timestamp-millis":
                return _EPOCH.replace(tzinfo=None) + timedelta(milliseconds=value)
            case "local-timestamp-micros":
                return _EPOCH.replace(tzinfo=None) + timedelta(microseconds=value)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{value!r} is not a {type_.logical}: {error}") from error
    return value


def _time(micros: int) -> time:
    if not 0 <= micros < 86_400_000_000:
        raise ValueError("outside one day")
    return (datetime.min + timedelta(microseconds=micros)).time()
