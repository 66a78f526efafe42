"""Whatever the schema and the bytes: a row is what fastavro reads, all else is put aside; nothing is lost or double."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from tests.unit.avro_strategies import (
    Evolved,
    as_shown,
    damaged,
    encoded,
    evolved,
    fuzzed,
    read_by_fastavro,
    schemas,
    values,
)
from tidemill.contracts.registry import Registered
from tidemill.contracts.schema import Record
from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError
from tidemill.replay.decoding import Decoded, Decoder
from tidemill.replay.schemas import Writers

WRITER_ID, READER_ID = 7, 9


class TwoSchemas:
    """A registry that knows two schemas."""

    def __init__(self, known: dict[int, dict[str, Any]]) -> None:
        self.known = known

    def lookup_id(self, subject: str, schema_json: str) -> int:
        raise NotImplementedError

    def latest(self, subject: str) -> Registered | None:
        raise NotImplementedError

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in self.known:
            raise DecodeError(f"Schema {schema_id} is unknown.")
        return self.known[schema_id]


def decoder(reader: dict[str, Any], writer: dict[str, Any] | None = None, *, fast: bool) -> Decoder:
    read_as = WriterSchema(READER_ID if writer else WRITER_ID, reader)
    assert isinstance(read_as.type, Record)
    writers = Writers(TwoSchemas({WRITER_ID: writer or reader, READER_ID: reader}))
    return Decoder(read_as, writers, [field.name for field in read_as.type.fields], fast=fast)


def rows_of(decoded: Decoded, schema: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Rows as Python values, by the place of their value; what is JSON text in the table, read."""
    names = [field["name"] for field in schema["fields"]]
    assert all(len(column) == len(decoded.rows) for column in decoded.columns)
    columns = [column.to_pylist() for column in decoded.columns]
    return {
        row: {name: column[place] for name, column in zip(names, columns, strict=bool(columns))}
        for place, row in enumerate(decoded.rows)
    }


def row_form(schema: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """What a record that fastavro read is as a row, by the schema's JSON: written apart from the code under test."""
    named = {schema["name"]: schema}
    return {each["name"]: table_form(each["type"], record[each["name"]], (), named) for each in schema["fields"]}


def table_form(schema: Any, value: Any, outer: tuple[str, ...], named: dict[str, Any]) -> Any:
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, list):
        others = [each for each in schema if each != "null"]
        if len(schema) != 2 or len(others) != 1:
            return None if value is None else Json(value)
        # A value that is missing is null, and not the text "null".
        return None if value is None else table_form(others[0], value, outer, named)
    if _is_text(schema, outer):
        return Json(value)
    if isinstance(schema, str):
        return value
    kind = schema["type"]
    if kind == "record":
        named[schema["name"]] = schema
        within = (*outer, schema["name"])
        return {each["name"]: table_form(each["type"], value[each["name"]], within, named) for each in schema["fields"]}
    if kind == "array":
        return [table_form(schema["items"], each, outer, named) for each in value]
    if kind == "map":
        return [(key, table_form(schema["values"], each, outer, named)) for key, each in value.items()]
    return str(value) if isinstance(value, UUID) else value


def _is_text(schema: Any, outer: tuple[str, ...]) -> bool:
    name = schema if isinstance(schema, str) else schema.get("name")
    if name in outer:
        return True
    return isinstance(schema, dict) and schema.get("logicalType") == "decimal" and schema["precision"] > 76


class Json:
    """Stands for the JSON text of a value."""

    def __init__(self, value: Any) -> None:
        self.value = plain(value)


def plain(value: Any) -> Any:
    """The JSON data that stands for a value in a text."""
    match value:
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def differences(found: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Where a table's value isn't the expected one."""
    match expected:
        case Json():
            if not isinstance(found, str) or as_shown(json.loads(found, parse_constant=pytest.fail)) != as_shown(
                expected.value
            ):
                yield f"{path}: {found!r} for the JSON of {expected.value!r}"
        case dict() if isinstance(found, dict) and found.keys() == expected.keys():
            for name, each in expected.items():
                yield from differences(found[name], each, f"{path}.{name}")
        case list() | tuple() if type(found) is type(expected) and len(found) == len(expected):
            for place, (one, other) in enumerate(zip(found, expected, strict=True)):
                yield from differences(one, other, f"{path}[{place}]")
        case _ if type(found) is not type(expected) or as_shown(found) != as_shown(expected):
            yield f"{path}: {found!r} for {expected!r}"


@fuzzed(60)
@given(st.data(), st.booleans())
def test_rows_are_what_fastavro_reads(data: DataObject, is_plain: bool) -> None:
    schema = data.draw(schemas(fast_only=is_plain))
    written = [encoded(schema, each, WRITER_ID) for each in data.draw(st.lists(values(schema), min_size=1, max_size=4))]
    expected = [row_form(schema, read_by_fastavro(each, schema)) for each in written]
    for fast in (True, False):
        decoding = decoder(schema, fast=fast)
        decoded = decoding.decode(written)
        assert not decoded.faults
        rows = rows_of(decoded, schema)
        assert [*rows] == [*range(len(written))]
        assert not [*differences([*rows.values()], expected)]
        if fast and is_plain:
            assert decoding.is_fast(written[0][:5])


@fuzzed(60)
@given(st.data(), st.booleans())
def test_damaged_events_are_rows_as_fastavro_reads_them_or_put_aside(data: DataObject, is_plain: bool) -> None:
    schema = data.draw(schemas(fast_only=is_plain))
    good = encoded(schema, data.draw(values(schema)), WRITER_ID)
    mixed = data.draw(st.permutations([good, *data.draw(st.lists(damaged(good), min_size=1, max_size=5)), good]))
    found = [decoder(schema, fast=fast).decode(mixed) for fast in (True, False)]
    for decoded in found:
        assert len(decoded.rows) + len(decoded.faults) + decoded.tombstones == len(mixed)
        assert decoded.rows == sorted({*range(len(mixed))} - {*decoded.faults} - _nones(mixed))
        assert all(decoded.faults.values())
        for row, values_of_row in rows_of(decoded, schema).items():
            expected = row_form(schema, read_by_fastavro(mixed[row] or b"", schema))
            assert not [*differences(values_of_row, expected)]
    # Which decoder had the word may not be seen, neither by what is read nor by what is said of the rest.
    assert found[0].faults == found[1].faults
    assert all(row not in found[0].faults for row, each in enumerate(mixed) if each == good)


def _nones(mixed: list[bytes | None]) -> set[int]:
    return {row for row, each in enumerate(mixed) if each is None}


@fuzzed(60)
@given(st.data(), evolved())
def test_events_of_two_versions_become_rows_of_one(data: DataObject, pair: Evolved) -> None:
    old = [encoded(pair.writer, each, WRITER_ID) for each in data.draw(st.lists(values(pair.writer), max_size=3))]
    new = [encoded(pair.reader, each, READER_ID) for each in data.draw(st.lists(values(pair.reader), max_size=3))]
    mixed = data.draw(st.permutations([*old, *new]))
    for fast in (True, False):
        decoded = decoder(pair.reader, pair.writer, fast=fast).decode(mixed)
        for row in decoded.faults:
            # Only what fastavro can't resolve: of a union's bytes it makes text, where text comes before them.
            with pytest.raises(UnicodeDecodeError):
                read_by_fastavro(mixed[row], pair.writer, pair.reader)
        assert {*decoded.rows} | {*decoded.faults} == {*range(len(mixed))}
        for row, found in rows_of(decoded, pair.reader).items():
            schema = pair.writer if mixed[row][4] == WRITER_ID else pair.reader
            record = read_by_fastavro(mixed[row], schema, pair.reader)
            assert not [*differences(found, row_form(pair.reader, record))]


@pytest.mark.parametrize("fast", [True, False])
def test_a_default_is_what_its_json_stands_for(fast: bool) -> None:
    writer = {"type": "record", "name": "R", "fields": [{"name": "f", "type": "int"}]}
    moment = {"type": "long", "logicalType": "timestamp-millis"}
    added = [{"name": "b", "type": "bytes", "default": "\u00ff\u0001"}, {"name": "t", "type": moment, "default": 1_000}]
    reader = writer | {"fields": [*writer["fields"], *added]}
    decoded = decoder(reader, writer, fast=fast).decode([encoded(writer, {"f": 3}, WRITER_ID)])
    assert [each.to_pylist() for each in decoded.columns] == [[3], [b"\xff\x01"], [datetime.fromtimestamp(1, UTC)]]


@pytest.mark.parametrize("bad_at", [0, 1, 64, 999])
def test_one_bad_event_among_a_thousand_is_put_aside_alone(bad_at: int) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}
    mixed = [encoded(schema, {"f": f"event {number}"}, WRITER_ID) for number in range(1000)]
    mixed[bad_at] += b"\0"
    decoded = decoder(schema, fast=True).decode(mixed)
    assert {*decoded.faults} == {bad_at}
    assert decoded.faults[bad_at].startswith("1 bytes follow the event")
    assert decoded.columns[0].to_pylist() == [f"event {number}" for number in range(1000) if number != bad_at]


@pytest.mark.parametrize("fast", [True, False])
def test_of_a_key_that_a_map_has_twice_the_last_value_counts(fast: bool) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "m", "type": {"type": "map", "values": "long"}}]}
    good = encoded(schema, {"m": {"a": 1, "b": 1}}, WRITER_ID)
    twice = b"\0\0\0\0\x07" + b"\x04" + b"\x02a\x02" + b"\x02a\x04" + b"\0"
    decoded = decoder(schema, fast=fast).decode([good, twice, good])
    assert decoded.columns[0].to_pylist() == [[("a", 1), ("b", 1)], [("a", 2)], [("a", 1), ("b", 1)]]


def test_a_default_within_a_union_of_several_types_is_mended_and_the_others_are_left_alone() -> None:
    def version(*more: dict[str, Any]) -> dict[str, Any]:
        inner = {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "int"}, *more]}
        union = ["null", "long", {"type": "array", "items": inner}]
        return {"type": "record", "name": "R", "fields": [{"name": "u", "type": union}]}

    old, new = version(), version({"name": "b", "type": "bytes", "default": "\u00ff"})
    values = [{"u": None}, {"u": 7}, {"u": [{"a": 1}]}]
    decoded = decoder(new, old, fast=False).decode([encoded(old, each, WRITER_ID) for each in values])
    assert not decoded.faults
    assert decoded.columns[0].to_pylist() == [None, "7", '[{"a":1,"b":"/w=="}]']
