"""Avro's binary encoding of a record, compiled once per schema, a function per field (Avro 1.12, "Binary Encoding").

fastavro's writer finds the branch of a union by validating the value against each, which took most of the time of an
event with nullable fields (11 microseconds against 4). Contracts know one union only, null and one type, so here the
branch is plain. Values must have been checked before (`validation`): nothing is checked here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tidemill.contracts.defaults import python_default
from tidemill.contracts.schema import (
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    optional_of,
    read_schema,
)
from tidemill.errors import ContractError

Encode = Callable[[Any], bytes]


def compile_encoder(schema: Any) -> Encode:
    """A function that encodes a record of a schema.

    Args:
        schema: The Avro schema as JSON data, as contracts allow it.

    Raises:
        ContractError: It isn't Avro, or has a union of more than null and one type.
    """
    faults: list[str] = []
    type_, _ = read_schema(schema, lambda found, hint=None: faults.append(found))
    if faults:
        raise ContractError(f"The schema can't be used: {' '.join(faults)}")
    return _encoder(type_, {})


def encoded_default(type_: AvroType, default: Any) -> bytes:
    """A field's default, as the JSON of its schema has it.

    Raises:
        ValueError: It doesn't fit the type.
    """
    return _encoder(type_, {})(python_default(type_, default))


def _encoder(type_: AvroType, known: dict[int, Encode]) -> Encode:
    match type_:
        case Primitive() | Fixed() if type_.logical is not None:
            return _logical(type_)
        case Primitive():
            return _PRIMITIVES[type_.kind]
        case Fixed():
            return _as_it_is
        case Enum():
            return {symbol: encode_long(number) for number, symbol in enumerate(type_.symbols)}.__getitem__
        case Array():
            return _array(_encoder(type_.items, known))
        case Map():
            return _map(_encoder(type_.values, known))
        case Union():
            return _optional(type_, known)
        case Record():
            return _record(type_, known)


def _record(record: Record, known: dict[int, Encode]) -> Encode:
    if id(record) in known:
        return known[id(record)]
    fields: list[tuple[str, Encode]] = []

    def encode(value: dict[str, Any]) -> bytes:
        return b"".join([inner(value[name]) for name, inner in fields])

    # Known before its fields are read, since a record may contain itself.
    known[id(record)] = encode
    fields += [(field.name, _encoder(field.type, known)) for field in record.fields]
    return encode


def _optional(union: Union, known: dict[int, Encode]) -> Encode:
    inner = optional_of(union)
    if inner is None:
        raise ContractError(f"A union of {len(union.branches)} types can't be written; only null and one type.")
    null_first = union.branches[0] == Primitive("null")
    null, branch = (b"\x00", b"\x02") if null_first else (b"\x02", b"\x00")
    encode_inner = _encoder(inner, known)

    def encode(value: Any) -> bytes:
        return null if value is None else branch + encode_inner(value)

    return encode


def _array(item: Encode) -> Encode:
    def encode(value: list[Any]) -> bytes:
        if not value:
            return b"\x00"
        return b"".join([encode_long(len(value)), *[item(each) for each in value], b"\x00"])

    return encode


def _map(item: Encode) -> Encode:
    def encode(value: dict[str, Any]) -> bytes:
        if not value:
            return b"\x00"
        parts = [_string(key) + item(each) for key, each in value.items()]
        return b"".join([encode_long(len(value)), *parts, b"\x00"])

    return encode


def _varint(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


SMALL_LONGS = tuple(map(_varint, range(8192)))
"""Most lengths and many numbers: those of one or two bytes."""


def encode_long(number: int) -> bytes:
    """A whole number of up to 64 bits: zigzag, seven bits a byte."""
    return SMALL_LONGS[number] if 0 <= number < 8192 else _varint(number)


def _string(text: str) -> bytes:
    data = text.encode()
    return encode_long(len(data)) + data


def _bytes(data: bytes) -> bytes:
    return encode_long(len(data)) + data


def _as_it_is(data: bytes) -> bytes:
    return data


_PRIMITIVES: dict[str, Encode] = {
    "null": lambda value: b"",
    "boolean": {False: b"\x00", True: b"\x01"}.__getitem__,
    "int": encode_long,
    "long": encode_long,
    "float": struct.Struct("<f").pack,
    "double": struct.Struct("<d").pack,
    "string": _string,
    "bytes": _bytes,
}


def _logical(type_: Primitive | Fixed) -> Encode:
    if type_.logical == "decimal":
        return _decimal(type_.scale, type_.size if isinstance(type_, Fixed) else None)
    encode = _LOGICAL.get(type_.logical or "")
    if encode is None:
        raise ContractError(f"The logical type {type_.logical!r} can't be written.")
    return encode


def _decimal(scale: int, size_bytes: int | None) -> Encode:
    def encode(value: Decimal) -> bytes:
        sign, digits, exponent = value.as_tuple()
        # Computed from the digits: Decimal's own operations round to the context's precision.
        unscaled: int = int("".join(map(str, digits))) * 10 ** (int(exponent) + scale)
        if sign:
            unscaled = -unscaled
        if size_bytes is not None:
            return unscaled.to_bytes(size_bytes, "big", signed=True)
        magnitude = unscaled if unscaled >= 0 else ~unscaled
        return _bytes(unscaled.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))

    return encode


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


def _since(epoch: datetime, unit: timedelta) -> Encode:
    def encode(value: datetime) -> bytes:
        return encode_long((value - epoch) // unit)

    return encode


def _micros_of_day(value: time) -> int:
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _uuid(value: UUID) -> bytes:
    return _string(str(value))


_LOGICAL: dict[str, Encode] = {
    "uuid": _uuid,
    "date": lambda value: encode_long(value.toordinal() - _EPOCH_DAY),
    "time-millis": lambda value: encode_long(_micros_of_day(value) // 1000),
    "time-micros": lambda value: encode_long(_micros_of_day(value)),
    "timestamp-millis": _since(_EPOCH, _MILLISECOND),
    "timestamp-micros": _since(_EPOCH, _MICROSECOND),
    "local-timestamp-millis": _since(_LOCAL_EPOCH, _MILLISECOND),
    "local-timestamp-micros": _since(_LOCAL_EPOCH, _MICROSECOND),
}
