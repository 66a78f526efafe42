"""A file of any format goes on after a checkpoint as if nothing had happened, and other programs read it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from tidemill.replay.formats import WRITERS, make_writer, schema_of
from tidemill.replay.parquet_footer import moved

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("text", pa.string()),
        ("raw", pa.binary()),
        ("moment", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        ("hour", pa.time64("us")),
        ("price", pa.decimal128(20, 4)),
        ("ratio", pa.float64()),
        ("list", pa.list_(pa.int32())),
        ("pairs", pa.map_(pa.string(), pa.int64())),
        ("inner", pa.struct([("a", pa.string()), ("b", pa.list_(pa.bool_()))])),
    ]
)


def rows(start: int, end: int) -> list[dict[str, Any]]:
    return [
        row(number) if number % 7 else dict.fromkeys(SCHEMA.names) | {"number": number} for number in range(start, end)
    ]


def row(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "text": f'"{number}",\nü\t',
        "raw": bytes([number % 256, 0]),
        "moment": datetime(2026, 1, 1, tzinfo=UTC).replace(microsecond=number % 1_000_000),
        "day": date(1969, 12, 31),
        "hour": time(23, 59, 59, 999_999),
        "price": Decimal(number).scaleb(-4),
        "ratio": number / 3,
        "list": [number, None],
        "pairs": [("a", number), ("ü", None)],
        "inner": {"a": "x", "b": [True, None]},
    }


def batch(start: int, end: int) -> Any:
    return pa.RecordBatch.from_pylist(rows(start, end), schema=SCHEMA)


def by_duckdb(function: str) -> Callable[[Path], list[int]]:
    def read(path: Path) -> list[int]:
        found = duckdb.connect().execute(f"select number from {function}(?)", [str(path)]).fetchall()
        return [number for (number,) in found]

    return read


def by_polars(path: Path) -> list[int]:
    polars = pytest.importorskip("polars")
    return list(polars.read_ipc(path)["number"])


READERS: dict[str, Callable[[Path], list[int]]] = {
    "parquet": by_duckdb("read_parquet"),
    "csv": by_duckdb("read_csv"),
    "ndjson": by_duckdb("read_json"),
    "arrow": by_polars,
}


@pytest.mark.parametrize("format_", WRITERS)
def test_a_file_that_was_torn_goes_on_from_its_last_checkpoint(format_: str, tmp_path: Path) -> None:
    chance = random.Random(format_)
    path, written = tmp_path / "file", 0
    writer = make_writer(format_, path, SCHEMA)
    for _ in range(4):
        for _ in range(chance.randint(0, 3)):
            count = chance.randint(1, 40)
            writer.write(batch(written, written + count))
            written += count
        size_bytes = writer.checkpoint()
        assert path.stat().st_size == size_bytes
        # Whoever dies now leaves more, in whatever state.
        writer.write(batch(1_000_000, 1_000_000 + chance.randint(1, 40)))
        writer.close()
        path.write_bytes(path.read_bytes()[: size_bytes + chance.randint(0, 200)])
        writer = make_writer(format_, path, SCHEMA, before=path, size_bytes=size_bytes)
    writer.write(batch(written, written + 5))
    writer.close()
    assert READERS[format_](path) == [*range(written + 5)]
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_what_is_on_the_disk_at_a_checkpoint_tells_its_schema(format_: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer = make_writer(format_, path, SCHEMA)
    writer.write(batch(0, 3))
    writer.checkpoint()
    assert schema_of(format_, path) == SCHEMA
    writer.close()


def test_stretches_of_parquet_keep_every_value_and_every_checkpoint_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    writer = make_writer("parquet", path, SCHEMA)
    for start in range(0, 500, 50):
        writer.write(batch(start, start + 50))
        writer.checkpoint()
        assert pa.parquet.read_table(path).to_pylist() == pa.Table.from_pylist(rows(0, start + 50), SCHEMA).to_pylist()
    writer.close()
    footer = pa.parquet.read_metadata(path)
    assert (footer.num_rows, footer.num_row_groups) == (500, 10)
    question = 'select sum(price), sum(len(list)), max("inner".a) from read_parquet(?)'
    sums = duckdb.connect().execute(question, [str(path)])
    assert sums.fetchone() == (sum(each["price"] or 0 for each in rows(0, 500)), 2 * (500 - 72), "x")


def test_a_footer_that_does_not_move_stays_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pa.parquet.write_table(pa.Table.from_batches([batch(0, 200)]), path, row_group_size=7, write_page_index=True)
    data = path.read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert moved(footer, 0) == footer
    assert moved(moved(footer, 1_000_000), -1_000_000) == footer


def test_an_empty_export_is_a_file_of_its_format(tmp_path: Path) -> None:
    for format_ in ("parquet", "arrow", "csv"):
        path = tmp_path / format_
        make_writer(format_, path, SCHEMA).close()
        assert path.stat().st_size
        assert schema_of(format_, path) in (None, SCHEMA)
    assert pa.parquet.read_table(tmp_path / "parquet").num_rows == 0


def test_text_formats_have_a_form_for_every_type(tmp_path: Path) -> None:
    for format_ in ("csv", "ndjson"):
        writer = make_writer(format_, tmp_path / format_, SCHEMA)
        writer.write(batch(1, 8))
        writer.close()
    first = json.loads((tmp_path / "ndjson").read_text().splitlines()[0])
    assert first == {
        "number": 1,
        "text": '"1",\nü\t',
        "raw": "AQA=",
        "moment": "2026-01-01T00:00:00.000001+00:00",
        "day": "1969-12-31",
        "hour": "23:59:59.999999",
        "price": "0.0001",
        "ratio": 1 / 3,
        "list": [1, None],
        "pairs": {"a": 1, "ü": None},
        "inner": {"a": "x", "b": [True, None]},
    }
    found = duckdb.connect().execute("select * from read_csv(?, all_varchar = true)", [str(tmp_path / "csv")])
    cells = dict(zip(SCHEMA.names, found.fetchone() or (), strict=True))
    assert cells["pairs"] == '{"a":1,"ü":null}'
    assert cells["inner"] == '{"a":"x","b":[true,null]}'
    assert (cells["raw"], cells["price"], cells["text"]) == ("AQA=", "0.0001", '"1",\nü\t')
