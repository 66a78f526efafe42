"""JSON to typed events: what people type at a terminal or keep in NDJSON files becomes an instance of an event class.

Relies on the class's own contract. Computes only. What JSON can't say is written as text: dates and times in ISO 8601,
decimals as "12.50", UUIDs as usual, bytes in base64. Must never guess: unknown fields and wrong types are refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from tidemill.contracts.contract import Payload
from tidemill.contracts.defaults import python_default
from tidemill.contracts.faults import did_you_mean
from tidemill.contracts.schema import MISSING, Array, AvroType, Enum, Fixed, Map, Primitive, Record, Union, read_schema
from tidemill.errors import ContractError, InvalidEvent
from tidemill.validation import Mismatch, compile_check

P = TypeVar("P", bound=Payload)
Convert = Callable[[Any], Any]


def parse_json(text: str | bytes) -> Any:
    """JSON data with its numbers as they are written: a fraction becomes a Decimal, so that none is rounded.

    Raises:
        ContractError: It isn't JSON; says where.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise ContractError(f"It is not JSON: {error.msg.lower()} at {place}.") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"It is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}.") from error
    except RecursionError as error:
        raise ContractError("It is nested too deeply to be an event.") from error
    except ValueError as error:
        # Python reads no whole number of more than 4,300 digits (sys.set_int_max_str_digits).
        raise ContractError(f"It can't be read as JSON: {error}.") from error


def from_json(cls: type[P], data: Any) -> P:
    """An event of JSON data.

    Args:
        cls: The generated event class.
        data: What `parse_json` or `json.loads` gives; fields with a default may be left out.

    Raises:
        InvalidEvent: A field holds what its schema doesn't allow; says which, what was found and what is expected.
        ContractError: A field is missing or unknown, or the data is no object.
    """
    contract = cls.__contract__
    convert, check = _compiled(cls)
    if type(data) is not dict:
        raise ContractError(f"{contract.type}: expected a JSON object, found {_json_name(data)}.")
    try:
        record = convert(data)
        check(record)
    except _Field as field:
        where = f" in {field.path!r}" if field.path else ""
        raise ContractError(f"{contract.type}: {field.complaint}{where}.", hint=field.hint) from None
    except Mismatch as mismatch:
        found = float(mismatch.found) if isinstance(mismatch.found, Decimal) else mismatch.found
        raise InvalidEvent(contract.type, mismatch.path, found, mismatch.expected) from None
    except RecursionError as error:
        raise ContractError(f"{contract.type}: it is nested too deeply.") from error
    return cls.from_record(record)


class _Field(Mismatch):
    """A field that is missing, or that the record doesn't have; `path` leads to the record."""

    def __init__(self, complaint: str, hint: str | None) -> None:
        super().__init__(None, complaint)
        self.complaint, self.hint = complaint, hint


@cache
def _compiled(cls: type[Payload]) -> tuple[Convert, Convert]:
    faults: list[str] = []
    type_, _ = read_schema(cls.__contract__.schema, lambda found, hint=None: faults.append(found))
    if faults:
        raise ContractError(f"The schema of {cls.__contract__.type} can't be read: {' '.join(faults)}")
    return _converter(type_, {}), compile_check(cls.__contract__.schema)


def _converter(type_: AvroType, known: dict[int, Convert]) -> Convert:
    match type_:
        case Primitive() | Fixed() if type_.logical in _LOGICAL:
            return _LOGICAL[type_.logical]
        case Primitive(kind="bytes") | Fixed():
            return _bytes
        case Primitive(kind="float" | "double"):
            return _number
        case Primitive() | Enum():
            return _as_it_is
        case Array():
            return _list(_converter(type_.items, known))
        case Map():
            return _dict(_converter(type_.values, known))
        case Union():
            inner = [branch for branch in type_.branches if branch != Primitive("null")]
            if len(inner) != 1:
                raise ContractError(f"A union of {len(inner)} types can't be read from JSON.")
            return _nullable(_converter(inner[0], known))
        case Record():
            return _record(type_, known)


def _record(record: Record, known: dict[int, Convert]) -> Convert:
    if id(record) in known:
        return known[id(record)]
    fields: dict[str, Convert] = {}
    defaults: dict[str, Callable[[], Any]] = {}

    def convert(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise Mismatch(data, "a JSON object")
        if not data.keys() <= fields.keys():
            name = next(name for name in data if name not in fields)
            hint = did_you_mean(name, fields) or f"Its fields are {', '.join(fields)}."
            raise _Field(f"there is no field {name!r}", hint)
        result = {}
        for name, inner in fields.items():
            try:
                if name in data:
                    result[name] = inner(data[name])
                elif name in defaults:
                    result[name] = defaults[name]()
                else:
                    raise _missing(record, data)
            except _Field as field:
                raise field if name not in data else field.within(name) from None
            except Mismatch as mismatch:
                raise mismatch.within(name) from None
        return result

    known[id(record)] = convert
    for each in record.fields:
        fields[each.name] = _converter(each.type, known)
        if each.default is not MISSING:
            defaults[each.name] = _default(each.type, each.default)
    return convert


def _default(type_: AvroType, default: Any) -> Callable[[], Any]:
    value = python_default(type_, default)
    if isinstance(value, list | dict):
        return lambda: python_default(type_, default)  # Made anew: an event's own may be changed.
    return lambda: value


def _missing(record: Record, data: dict[str, Any]) -> _Field:
    names = [each.name for each in record.fields if each.default is MISSING and each.name not in data]
    if len(names) == 1:
        return _Field(f"field {names[0]!r} is missing", "It has no default.")
    return _Field(f"fields {', '.join(map(repr, names))} are missing", "They have no defaults.")


def _list(item: Convert) -> Convert:
    def convert(data: Any) -> list[Any]:
        if type(data) is not list:
            raise Mismatch(data, "a list")
        result = []
        for index, element in enumerate(data):
            try:
                result.append(item(element))
            except Mismatch as mismatch:
                raise mismatch.within(f"[{index}]") from None
        return result

    return convert


def _dict(value: Convert) -> Convert:
    def convert(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise Mismatch(data, "a JSON object")
        result = {}
        for key, element in data.items():
            try:
                result[key] = value(element)
            except Mismatch as mismatch:
                raise mismatch.within(f"[{key!r}]") from None
        return result

    return convert


def _nullable(inner: Convert) -> Convert:
    def convert(data: Any) -> Any:
        return None if data is None else inner(data)

    return convert


def _as_it_is(data: Any) -> Any:
    # JSON knows one kind of number: 3.0 is as whole as 3. Beyond 20 digits no integer of Avro fits anyway.
    if type(data) is Decimal and data.adjusted() < 20 and data == data.to_integral_value():
        return int(data)
    return data


def _number(data: Any) -> Any:
    value = float(data) if type(data) is Decimal else data
    if value in (math.inf, -math.inf):
        raise Mismatch(data, "a number that 64 bits can hold")
    return value


def _bytes(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True) if type(data) is str else _wrong(data, _BASE64)
    except (binascii.Error, ValueError) as error:
        raise Mismatch(data, _BASE64) from error


def _decimal(data: Any) -> Decimal:
    if type(data) is bool or not isinstance(data, (str, int, float, Decimal)):
        raise Mismatch(data, _DECIMAL)
    try:
        # repr() of a float is the shortest text that means it, which is what its writer wrote.
        return Decimal(repr(data) if isinstance(data, float) else data)
    except InvalidOperation as error:
        raise Mismatch(data, _DECIMAL) from error


def _uuid(data: Any) -> UUID:
    try:
        return UUID(data) if type(data) is str else _wrong(data, _UUID)
    except ValueError as error:
        raise Mismatch(data, _UUID) from error


def _parsed(parse: Callable[[str], Any], expected: str, *, aware: bool | None = None) -> Convert:
    def convert(data: Any) -> Any:
        try:
            value = parse(data) if type(data) is str else _wrong(data, expected)
        except ValueError as error:
            raise Mismatch(data, expected) from error
        if aware is not None and (value.tzinfo is not None) != aware:
            raise Mismatch(data, expected)
        return value

    return convert


def _wrong(data: Any, expected: str) -> Any:
    raise Mismatch(data, expected)


_BASE64 = "text in base64"
_DECIMAL = 'a number, better as text such as "12.50"'
_UUID = "a UUID as text"
_TIMESTAMP = _parsed(datetime.fromisoformat, 'a date and time with a zone, such as "2026-11-22T12:30:00Z"', aware=True)
_LOCAL = _parsed(datetime.fromisoformat, 'a date and time without a zone, such as "2026-11-22T12:30:00"', aware=False)
_TIME = _parsed(time.fromisoformat, 'a time such as "12:30:00"', aware=False)
_LOGICAL: dict[str | None, Convert] = {
    "uuid": _uuid,
    "decimal": _decimal,
    "date": _parsed(date.fromisoformat, 'a date such as "2026-11-22"'),
    "time-millis": _TIME,
    "time-micros": _TIME,
    "timestamp-millis": _TIMESTAMP,
    "timestamp-micros": _TIMESTAMP,
    "local-timestamp-millis": _LOCAL,
    "local-timestamp-micros": _LOCAL,
}


def _json_name(data: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list"}
    return kinds.get(type(data), "a number")


def _refuse_constant(name: str) -> None:
    raise ContractError(f"It is not JSON: {name} is not a JSON number.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        names = [name for name, _ in pairs]
        raise ContractError(f"Property {next(name for name in names if names.count(name) > 1)!r} is written twice.")
    return read
