"""What becomes of a slice: each event one row, with all its bytes, whatever it is."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from consumers.archive.rows import NO_DATE, Part, Rows, date_of
from tests.unit.archive_samples import DAY_MS, NOON_MS, SCHEMA, OneSchema, message, rows, slice_of, value_of
from tests.unit.sample_message import SampleMessage
from tidemill.decoder import WriterSchema
from tidemill.replay.schemas import Writers
from tidemill.replay.slices import Slice


def parts_of(*messages: SampleMessage, making: Rows | None = None) -> list[Part]:
    return [*(making or rows()).parts(slice_of(messages))]


def only_row(part: Part) -> dict[str, Any]:
    (row,) = part.batch.to_pylist()
    return dict(row)


def test_an_event_is_its_fields_its_place_its_envelope_and_its_bytes() -> None:
    headers = [("ce_id", b"id-1"), ("tm_root", b"root-1"), ("mine", None)]
    (part,) = parts_of(message(5, partition=3, with_headers=headers))
    row = only_row(part)
    assert (part.kind, part.partition, part.date) == ("data", 3, "2024-10-04")
    assert (row["number"], row["note"]) == (5, "x")
    assert (row["_partition"], row["_offset"], row["_key"], row["_schema_id"]) == (3, 5, "lane-2", 7)
    assert row["_timestamp"].timestamp() * 1000 == NOON_MS + 5
    assert (row["_id"], row["_root"]) == ("id-1", "root-1")
    assert row["_headers"] == headers
    assert (row["_value"], row["_tombstone"], row["_key_raw"], row["_headers_raw"]) == (value_of(5), False, None, None)


def test_every_event_becomes_one_row_in_its_order_whatever_it_is() -> None:
    kinds: list[bytes | None] = [value_of(1), None, b"garbage", b"\0\0\0\0\x09x", value_of(2), b"", None, value_of(3)]
    messages = [message(offset, with_value=value) for offset, value in enumerate(kinds)]
    data, quarantine = parts_of(*messages)
    assert data.batch.column("_offset").to_pylist() == [0, 1, 4, 6, 7]
    assert data.batch.column("number").to_pylist() == [1, None, 2, None, 3]
    assert data.batch.column("_tombstone").to_pylist() == [False, True, False, True, False]
    assert quarantine.kind == "quarantine"
    assert quarantine.batch.column("_offset").to_pylist() == [2, 3, 5]
    assert quarantine.batch.column("_value").to_pylist() == [b"garbage", b"\0\0\0\0\x09x", b""]
    assert all(quarantine.batch.column("_reason").to_pylist())


@pytest.mark.parametrize("value", [None, b"garbage"])
def test_a_slice_of_nothing_but_such_keeps_them(value: bytes | None) -> None:
    (part,) = parts_of(message(0, with_value=value), message(1, with_value=value))
    assert part.batch.column("_value").to_pylist() == [value, value]


def test_keys_and_headers_that_have_no_text_keep_their_bytes() -> None:
    twice = [("a", b"1"), ("b", None), ("a", b"2")]
    (part,) = parts_of(message(0, with_key=b"\xff\xfe", with_headers=twice))
    row = only_row(part)
    assert (row["_key"], row["_key_raw"]) == ("��", b"\xff\xfe")
    assert row["_headers"] == [("a", b"2"), ("b", None)]
    assert [(each["name"], each["value"]) for each in row["_headers_raw"]] == twice


def test_no_key_and_an_empty_key_are_not_the_same() -> None:
    (part,) = parts_of(message(0, with_key=None), message(1, with_key=b""))
    assert part.batch.column("_key").to_pylist() == [None, ""]
    assert part.batch.column("_key_raw").to_pylist() == [None, None]


def test_days_and_partitions_part_and_keep_their_order() -> None:
    moments = [(0, 0), (1, 0), (0, DAY_MS), (1, -DAY_MS), (0, 5)]
    messages = [
        message(offset, partition=partition, timestamp_ms=NOON_MS + later)
        for offset, (partition, later) in enumerate(moments)
    ]
    found = {(part.partition, part.date): part.batch.column("_offset").to_pylist() for part in parts_of(*messages)}
    assert found == {
        (0, "2024-10-04"): [0, 4],
        (0, "2024-10-05"): [2],
        (1, "2024-10-03"): [3],
        (1, "2024-10-04"): [1],
    }


@pytest.mark.parametrize("timestamp_ms", [-1, -(1 << 60), 1 << 60, 253_402_300_800_000])
def test_a_timestamp_that_no_calendar_has_is_no_date(timestamp_ms: int) -> None:
    (part,) = parts_of(message(0, timestamp_ms=timestamp_ms))
    assert part.date == NO_DATE
    assert part.batch.column("_timestamp").cast(pa.int64()).to_pylist() == [timestamp_ms]


def test_the_last_day_of_the_calendar_is_one() -> None:
    (part,) = parts_of(message(0, timestamp_ms=253_402_300_799_999))
    assert part.date == "9999-12-31"
    assert date_of(0) == "1970-01-01"


def test_a_topic_without_a_schema_keeps_bytes_alone() -> None:
    making = Rows(None, Writers(OneSchema()))
    (part,) = parts_of(message(0, with_value=b"{}"), message(1, with_value=None), making=making)
    assert part.batch.column("_value").to_pylist() == [b"{}", None]
    assert part.batch.column("_tombstone").to_pylist() == [False, True]
    assert "number" not in part.batch.schema.names


def test_a_field_of_an_envelope_columns_name_does_not_hide_it() -> None:
    fields = [{"name": "number", "type": "int"}, {"name": "_offset", "type": "string"}]
    schema = {**SCHEMA, "fields": fields}

    class Registry(OneSchema):
        def schema_by_id(self, schema_id: int) -> dict[str, Any]:
            return schema

    making = Rows(WriterSchema(7, schema), Writers(Registry()))
    (part,) = parts_of(message(5), making=making)
    row = only_row(part)
    assert (row["number"], row["_offset"], row["_value"]) == (5, 5, value_of(5))


def test_nothing_becomes_nothing() -> None:
    assert [*rows().parts(Slice())] == []
