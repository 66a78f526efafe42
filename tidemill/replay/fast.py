"""Decodes some thousand events at once, by pyruhvro, where their schema and their bytes allow it.

pyruhvro reads 3,000,000 events a second, knows no bytes, no fixed and few logical types, and checks neither text nor
where an event ends. So it gets a schema of plain types, and what it gives is only taken when its sizes add up, its text
is UTF-8 and its values are possible; otherwise `Doubt` is raised, and `exact` has to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from tidemill.codec import PREFIX_BYTES
from tidemill.contracts.defaults import python_default
from tidemill.contracts.resolution import same_name, written_field
from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Field,
    Map,
    Primitive,
    Record,
    Union,
    optional_of,
)
from tidemill.contracts.supported_types import takes_no_bytes
from tidemill.replay.arrow_types import arrow_type, converter
from tidemill.replay.extras import available, need
from tidemill.replay.sizes import Doubt, Measure

_DAY_MICROSECONDS = 86_400_000_000
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
# What Python and pandas have a form for; the reader of single events refuses the rest.
_LIMITS = {
    "date": (_YEAR_1 // _DAY_MICROSECONDS, _YEAR_10000 // _DAY_MICROSECONDS),
    "time-millis": (0, _DAY_MICROSECONDS // 1000),
    "time-micros": (0, _DAY_MICROSECONDS),
    "timestamp-millis": (_YEAR_1 // 1000, _YEAR_10000 // 1000),
    "timestamp-micros": (_YEAR_1, _YEAR_10000),
    "local-timestamp-millis": (_YEAR_1 // 1000, _YEAR_10000 // 1000),
    "local-timestamp-micros": (_YEAR_1, _YEAR_10000),
}
_INTS = {"date", "time-millis"}
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

# Ten bytes of a number hold 70 bits, of which pyruhvro drops six: the last byte has to be 0 or 1.
# Text may look like it.
_VARINT_BYTES = b"o" * 2 + b"x" * 126 + b"m" * 128
_OVERLONG = b"m" * 9 + b"x"


class FastDecoder:
    """Values of one writer's schema to Arrow columns.

    Args:
        reader: The record whose fields the columns are.
        writer: The record that the values were written as; `is_fast` for this reader.
        columns: The fields that are wanted.
    """

    def __init__(self, reader: Record, writer: Record, columns: Sequence[str]) -> None:
        self._decode = need("pyruhvro", "decoding fast").deserialize_array
        self._schema = json.dumps(_plain(writer, count()))
        self._writer = writer
        written = {each.name: each for each in writer.fields}
        places = {each.name: place for place, each in enumerate(writer.fields)}
        fields = {each.name: each for each in reader.fields}
        self._columns: list[tuple[int | None, Callable[[Any], Any]]] = []
        for name in columns:
            source = written_field(fields[name], written)
            if source is None:
                self._columns.append((None, _constant(fields[name])))
            else:
                self._columns.append((places[source.name], _Cast(source.type)))

    def decode(self, values: Sequence[bytes]) -> list[Any]:
        """The columns of all values.

        Raises:
            Doubt: One of the values is not what it should be, or can't be vouched for.
        """
        bodies = [value[PREFIX_BYTES:] for value in values]
        try:
            batch = self._decode(bodies, self._schema)
        except Exception as error:
            raise Doubt(str(error)) from error
        except BaseException as error:
            # A panic of Rust is no Exception, and has no class that could be imported.
            if type(error).__name__ != "PanicException":
                raise
            raise Doubt(str(error)) from error
        invalid = need("pyarrow", "decoding").ArrowInvalid
        try:
            batch.validate(full=True)
            columns = [cast(batch if place is None else batch.column(place)) for place, cast in self._columns]
        except (invalid, ValueError) as error:
            raise Doubt(str(error)) from error
        measure = Measure()
        for column, field in zip(batch.columns, self._writer.fields, strict=True):
            measure.add(column, field.type)
        if measure.total_bytes != sum(map(len, bodies)):
            raise Doubt("the sizes don't add up")
        if measure.widest == 10 and _OVERLONG in b"".join(bodies).translate(_VARINT_BYTES):
            raise Doubt("a number of more than 64 bits")
        return columns


def is_fast(reader: AvroType, writer: AvroType) -> bool:
    """Whether values of a writer's record can be read at once, as the fields of a reader's."""
    if not isinstance(reader, Record) or not isinstance(writer, Record) or available("pyruhvro") is None:
        return False
    if not writer.fields or not _is_plain(writer, ()) or not same_name(reader, writer):
        return False
    written = {each.name: each for each in writer.fields}
    for field in reader.fields:
        source = written_field(field, written)
        if source is None:
            if field.default is MISSING:
                return False
        elif not _is_alike(field.type, source.type):
            return False
    return True


def _is_plain(type_: AvroType, outer: tuple[int, ...]) -> bool:
    match type_:
        case Record():
            within = (*outer, id(type_))
            return (
                id(type_) not in outer and bool(type_.fields) and all(_is_plain(f.type, within) for f in type_.fields)
            )
        case Array():
            return not takes_no_bytes(type_.items) and _is_plain(type_.items, outer)
        case Map():
            return _is_plain(type_.values, outer)
        case Enum():
            return len(type_.symbols) <= 64
        case Union():
            inner = optional_of(type_)
            return inner is not None and not isinstance(inner, Union) and _is_plain(inner, outer)
        case Primitive(kind="int" | "long"):
            return type_.logical is None or (type_.logical in _LIMITS and _fits(type_))
        case Primitive(kind="string"):
            return type_.logical in (None, "uuid")
        case Primitive(kind="boolean" | "float" | "double"):
            return type_.logical is None
    return False


def _fits(type_: Primitive) -> bool:
    return (type_.kind == "int") == (type_.logical in _INTS)


def _is_alike(reader: AvroType, writer: AvroType) -> bool:
    """Whether a column of the writer's type is one of the reader's as it is."""
    inner = optional_of(reader)
    if inner is not None:
        return _is_alike(inner, optional_of(writer) or writer)
    match reader, writer:
        case Record(), Record():
            return (
                same_name(reader, writer)
                and [f.name for f in reader.fields] == [f.name for f in writer.fields]
                and all(_is_alike(r.type, w.type) for r, w in zip(reader.fields, writer.fields, strict=True))
            )
        case Array(), Array():
            return _is_alike(reader.items, writer.items)
        case Map(), Map():
            return _is_alike(reader.values, writer.values)
        case Enum(), Enum():
            return same_name(reader, writer) and {*writer.symbols} <= {*reader.symbols}
        case Primitive(), Primitive():
            return reader == writer
    return False


def _plain(type_: AvroType, names: Iterator[int]) -> Any:
    """The JSON of a schema for pyruhvro: the same bytes, read as plain types, with names that can't collide."""
    match type_:
        case Record():
            fields = [{"name": f"f{place}", "type": _plain(f.type, names)} for place, f in enumerate(type_.fields)]
            return {"type": "record", "name": f"n{next(names)}", "fields": fields}
        case Array():
            return {"type": "array", "items": _plain(type_.items, names)}
        case Map():
            return {"type": "map", "values": _plain(type_.values, names)}
        case Enum():
            return {"type": "enum", "name": f"n{next(names)}", "symbols": [*type_.symbols]}
        case Union():
            return [_plain(branch, names) for branch in type_.branches]
        case Primitive(kind="int"):
            # As long it takes the same bytes, and a number that is too large for an int can be seen.
            return "long"
        case Primitive():
            return type_.kind
    raise TypeError(f"{type_!r} is not plain")


class _Cast:
    """Makes a column of pyruhvro's one of ours."""

    def __init__(self, type_: AvroType) -> None:
        self._type = optional_of(type_) or type_
        self._arrow = arrow_type(type_)

    def __call__(self, column: Any) -> Any:
        return _cast(column, self._type, self._arrow)


def _cast(column: Any, type_: AvroType, arrow: Any) -> Any:
    pa = need("pyarrow", "decoding")
    type_ = optional_of(type_) or type_
    match type_:
        case Record():
            parts = [
                _cast(part, field.type, arrow.field(place).type)
                for place, (part, field) in enumerate(zip(_parts(column), type_.fields, strict=True))
            ]
            return pa.StructArray.from_arrays(parts, fields=[*arrow], mask=column.is_null())
        case Array():
            items = _cast(column.values, type_.items, arrow.value_type)
            return pa.ListArray.from_arrays(column.offsets, items, type=arrow, mask=column.is_null())
        case Map():
            items = _cast(column.items, type_.values, arrow.item_type)
            return pa.MapArray.from_arrays(column.offsets, column.keys, items, type=arrow, mask=column.is_null())
        case Primitive(logical="uuid"):
            matching = need("pyarrow.compute", "decoding").match_substring_regex(column.drop_null(), _UUID)
            if matching.false_count:
                raise Doubt("a text that is no UUID in its usual form")
        case Primitive(logical=str() as logical):
            _check_limits(column, *_LIMITS[logical])
            return (column.cast(pa.int32()) if logical in _INTS else column).cast(arrow)
    return column.cast(arrow)


def _parts(struct: Any) -> list[Any]:
    return [struct.field(place) for place in range(struct.type.num_fields)]


def _check_limits(column: Any, least: int, beyond: int) -> None:
    found = need("pyarrow.compute", "decoding").min_max(column).as_py()
    if found["min"] is not None and not least <= found["min"] <= found["max"] < beyond:
        raise Doubt("a time that no calendar has")


def _constant(field: Field) -> Callable[[Any], Any]:
    """What makes the column of a field that the writer didn't know: its default, as often as there are events."""
    pa = need("pyarrow", "decoding")
    type_, convert = arrow_type(field.type), converter(field.type)
    value = python_default(field.type, field.default)
    scalar = pa.array([value if convert is None else convert(value)], type_)
    return lambda batch: scalar.take(pa.array([0] * batch.num_rows, pa.int64()))
