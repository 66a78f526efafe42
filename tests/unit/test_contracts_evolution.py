"""Events of an older schema get the defaults of the fields they lack, as values of the right type."""

from __future__ import annotations

import io
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from tidemill.contracts.evolution import default_filler
from tidemill.errors import ContractError

PART: dict[str, Any] = {"type": "record", "name": "Part", "fields": [{"name": "name", "type": "string"}]}
BOX: dict[str, Any] = {
    "type": "record",
    "name": "Box",
    "fields": [
        {"name": "label", "type": "string"},
        {"name": "part", "type": PART},
        {"name": "parts", "type": {"type": "array", "items": "Part"}},
        {"name": "by_name", "type": {"type": "map", "values": "Part"}},
        {"name": "maybe", "type": ["null", "Part"]},
    ],
}
OLD = {
    "label": "x",
    "part": {"name": "a"},
    "parts": [{"name": "b"}],
    "by_name": {"c": {"name": "c"}},
    "maybe": None,
}
MOMENT: dict[str, Any] = {"type": "long", "logicalType": "timestamp-micros"}


def grown(schema: dict[str, Any], *fields: dict[str, Any]) -> dict[str, Any]:
    schema = deepcopy(schema)
    schema["fields"].extend(fields)
    return schema


def read(value: Any, writer: dict[str, Any], reader: dict[str, Any]) -> Any:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, value)
    buffer.seek(0)
    record = fastavro.schemaless_reader(buffer, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    filler = default_filler(reader, writer)
    if filler is not None:
        filler(record)
    return record


def test_missing_fields_get_python_values() -> None:
    reader = grown(
        BOX,
        {"name": "at", "type": MOMENT, "default": 0},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}, "default": str(UUID(int=1))},
        {"name": "raw", "type": "bytes", "default": "\u00ff"},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "default": "\u0001",
        },
        {"name": "ratio", "type": "double", "default": 1},
        {"name": "count", "type": "int", "default": 3},
        {"name": "note", "type": ["null", "string"], "default": None},
    )

    record = read(OLD, BOX, reader)

    assert record == {
        **OLD,
        "at": datetime(1970, 1, 1, tzinfo=UTC),
        "id": UUID(int=1),
        "raw": b"\xff",
        "price": Decimal("0.01"),
        "ratio": 1.0,
        "count": 3,
        "note": None,
    }
    assert type(record["ratio"]) is float


def test_events_do_not_share_a_default_list() -> None:
    reader = grown(BOX, {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []})

    read(OLD, BOX, reader)["tags"].append("changed")

    assert read(OLD, BOX, reader)["tags"] == []


def test_a_default_record_is_complete() -> None:
    part = grown(PART, {"name": "made", "type": MOMENT, "default": 0})
    reader = deepcopy(BOX)
    reader["fields"][1]["type"] = part
    reader = grown(reader, {"name": "spare", "type": "Part", "default": {"name": "s"}})

    assert read(OLD, BOX, reader)["spare"] == {"name": "s", "made": datetime(1970, 1, 1, tzinfo=UTC)}


def test_fields_of_nested_records_are_filled_wherever_they_are() -> None:
    reader = deepcopy(BOX)
    reader["fields"][1]["type"] = grown(PART, {"name": "made", "type": MOMENT, "default": 0})
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    record = read({**OLD, "maybe": {"name": "m"}}, BOX, reader)

    assert record["part"] == {"name": "a", "made": epoch}
    assert record["parts"] == [{"name": "b", "made": epoch}]
    assert record["by_name"] == {"c": {"name": "c", "made": epoch}}
    assert record["maybe"] == {"name": "m", "made": epoch}
    assert read(OLD, BOX, reader)["maybe"] is None


def test_records_that_contain_themselves_are_filled_to_the_bottom() -> None:
    writer = {
        "type": "record",
        "name": "Tree",
        "fields": [{"name": "children", "type": {"type": "array", "items": "Tree"}}],
    }
    reader = grown(writer, {"name": "planted", "type": MOMENT, "default": 0})

    record = read({"children": [{"children": []}]}, writer, reader)

    assert record["children"][0]["planted"] == record["planted"] == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_renamed_field_keeps_what_was_written() -> None:
    writer = grown(BOX, {"name": "at", "type": MOMENT})
    reader = grown(BOX, {"name": "moment", "aliases": ["at"], "type": MOMENT, "default": 0})
    written = datetime(2026, 1, 1, tzinfo=UTC)

    assert read({**OLD, "at": written}, writer, reader)["moment"] == written


@pytest.mark.parametrize(
    "reader",
    [
        BOX,
        grown(BOX, {"name": "count", "type": "int", "default": 3}),
        grown(BOX, {"name": "note", "type": ["null", "string"], "default": None}),
    ],
)
def test_nothing_is_called_for_events_where_fastavro_is_right(reader: dict[str, Any]) -> None:
    assert default_filler(reader, BOX) is None


def test_a_writers_schema_that_is_not_avro_is_an_error() -> None:
    with pytest.raises(ContractError, match="Schema 'Box' is not Avro: field 'x': unknown type 'strng'"):
        default_filler(BOX, {"type": "record", "name": "Box", "fields": [{"name": "x", "type": "strng"}]})
