"""Which Arrow type an Avro type becomes, and how Python values get there. Computes only.

What neither Arrow nor Parquet has a form for becomes JSON text: a union of several types, a record within itself, a
record without fields, null alone, a number of more than 76 digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidemill.contracts.schema import Array, AvroType, Enum, Fixed, Map, Primitive, Record, optional_of
from tidemill.json_values import as_json
from tidemill.replay.extras import need

Convert = Callable[[Any], Any]


def arrow_type(type_: AvroType) -> Any:
    """The `pyarrow.DataType` of an Avro type; every field may be null, in nested types as well."""
    return _arrow(need("pyarrow", "reading topics as tables"), type_, ())


def converter(type_: AvroType) -> Convert | None:
    """What makes a decoded value one that pyarrow takes for `arrow_type`; None where it is one already."""
    return _converter(type_, ())


def is_json(type_: AvroType, outer: tuple[int, ...] = ()) -> bool:
    """Whether values of a type become JSON text, because Arrow has no form for them.

    Args:
        type_: The Avro type.
        outer: Identities of the records that it lies in.
    """
    match type_:
        case Record():
            return id(type_) in outer or not type_.fields
        case Primitive(kind="null"):
            return True
        case Primitive() | Fixed() if type_.logical == "decimal":
            return type_.precision > 76
        case Primitive() | Fixed() | Enum() | Array() | Map():
            return False
    inner = optional_of(type_)
    return inner is None or is_json(inner, outer)


def _arrow(pa: Any, type_: AvroType, outer: tuple[int, ...]) -> Any:
    if is_json(type_, outer):
        return pa.string()
    match optional_of(type_) or type_:
        case Record() as record:
            within = (*outer, id(record))
            return pa.struct([pa.field(each.name, _arrow(pa, each.type, within)) for each in record.fields])
        case Array(items):
            return pa.list_(_arrow(pa, items, outer))
        case Map(values):
            return pa.map_(pa.string(), _arrow(pa, values, outer))
        case Enum():
            return pa.string()
        case Fixed() | Primitive() as plain:
            return _logical(pa, plain) or _plain(pa, plain)
    raise TypeError(f"no Arrow type for {type_!r}")


def _logical(pa: Any, type_: Primitive | Fixed) -> Any:
    kind = type_.kind if isinstance(type_, Primitive) else "fixed"
    match kind, type_.logical:
        case "int", "date":
            return pa.date32()
        case "int", "time-millis":
            return pa.time32("ms")
        case "long", "time-micros":
            return pa.time64("us")
        case "long", "timestamp-millis" | "timestamp-micros":
            return pa.timestamp("ms" if type_.logical == "timestamp-millis" else "us", "UTC")
        case "long", "local-timestamp-millis" | "local-timestamp-micros":
            return pa.timestamp("ms" if type_.logical == "local-timestamp-millis" else "us")
        case (("bytes" | "fixed"), "decimal"):
            digits = pa.decimal128 if type_.precision <= 38 else pa.decimal256
            return digits(type_.precision, type_.scale)
        case (("string" | "fixed"), "uuid"):
            return pa.string()
    return None


def _plain(pa: Any, type_: Primitive | Fixed) -> Any:
    if isinstance(type_, Fixed):
        return pa.binary(type_.size)
    return {
        "boolean": pa.bool_,
        "int": pa.int32,
        "long": pa.int64,
        "float": pa.float32,
        "double": pa.float64,
        "bytes": pa.binary,
        "string": pa.string,
    }[type_.kind]()


def _converter(type_: AvroType, outer: tuple[int, ...]) -> Convert | None:
    if is_json(type_, outer):
        return lambda value: None if value is None else as_json(value)
    inner = optional_of(type_)
    if inner is not None:
        convert = _converter(inner, outer)
        return None if convert is None else lambda value: None if value is None else convert(value)
    match type_:
        case Record():
            within = (*outer, id(type_))
            found = [(each.name, _converter(each.type, within)) for each in type_.fields]
            fields = [(name, convert) for name, convert in found if convert is not None]
            return (lambda value: _record(value, fields)) if fields else None
        case Array():
            item = _converter(type_.items, outer)
            return None if item is None else lambda value: [*map(item, value)]
        case Map():
            # Always: pyarrow takes a map's entries as pairs.
            entry = _converter(type_.values, outer)
            if entry is None:
                return lambda value: [*value.items()]
            return lambda value: [(key, entry(each)) for key, each in value.items()]
        case Primitive() | Fixed() if type_.logical == "uuid":
            return str
    return None


def _record(value: dict[str, Any], fields: list[tuple[str, Convert]]) -> dict[str, Any]:
    return value | {name: convert(value[name]) for name, convert in fields}
