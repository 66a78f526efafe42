"""A row's JSON is the same, whichever way its columns were taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from tidemill.replay.json_rows import json_rows

EARLY, LATE = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int64(), [1, -(1 << 63)], [1, -(1 << 63)]),
        (pa.int64(), [1, None], [1, None]),
        (pa.int32(), [], []),
        (pa.float64(), [0.1, float("nan"), float("-inf")], [0.1, "NaN", "-Infinity"]),
        (pa.float32(), [0.5, None], [0.5, None]),
        (pa.bool_(), [True, False], [True, False]),
        (pa.bool_(), [None, False], [None, False]),
        (pa.string(), ["ü\n", None, ""], ["ü\n", None, ""]),
        (pa.timestamp("us", "UTC"), [EARLY, LATE, None], ["0001-01-01T00:00:00+00:00", LATE.isoformat(), None]),
        (pa.timestamp("ms"), [datetime(2026, 1, 1, 0, 0, 0, 5000)], ["2026-01-01T00:00:00.005000"]),
        (pa.binary(), [b"\xff", None], ["/w==", None]),
        (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None], [{"a": 1}, None]),
    ],
)
def test_a_value_has_one_form(kind: Any, values: list[Any], expected: list[Any]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(values, kind)], ["column"])
    found = [json.loads(line, parse_constant=pytest.fail)["column"] for line in json_rows(batch)]
    assert found == expected


def test_headers_are_text() -> None:
    pairs = pa.array([[("ce_id", b"7"), ("raw", b"\xff"), ("none", None)], None], pa.map_(pa.string(), pa.binary()))
    lines = [*json_rows(pa.RecordBatch.from_arrays([pairs], ["_headers"]))]
    assert [json.loads(line) for line in lines] == [
        {"_headers": {"ce_id": "7", "raw": "�", "none": None}},
        {"_headers": None},
    ]


TEXTS = ["", "plain", 'a "quote" \\ / \t\n\r\b\f', "\x00\x01\x1f\x7f", "ü€😀\u2028\u2029\ufeff", None]


def test_rows_are_the_same_by_either_way() -> None:
    inner = pa.struct([("name", pa.string()), ("sizes", pa.list_(pa.int32())), ("big", pa.bool_())])
    rows = [
        {
            "text": text,
            "number": (-1) ** n * ((1 << 62) + n),
            "parts": None if n == 3 else [{"name": text, "sizes": [*range(n)], "big": n > 2}, None][: n % 3],
            "when": EARLY if n % 2 else LATE,
            "a b\"c'": n,
        }
        for n, text in enumerate(TEXTS)
    ]
    schema = pa.schema(
        [
            ("text", pa.string()), ("number", pa.int64()), ("parts", pa.list_(inner)),
            ("when", pa.timestamp("us", "UTC")), ("a b\"c'", pa.int16()),
        ]
    )  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema)
    quick = [*json_rows(batch)]
    # A column that DuckDB isn't asked for makes all of it go the other way.
    other = batch.append_column("zz", pa.array([0.5] * len(rows)))
    slow = [line.replace(',"zz":0.5}', "}") for line in json_rows(other)]
    assert [*map(json.loads, quick)] == [*map(json.loads, slow)]
    assert [line.lower() for line in quick] == [line.lower() for line in slow]  # \u001F is \u001f
    assert [*json_rows(batch.slice(0, 0))] == []
