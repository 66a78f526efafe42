"""Rows as JSON text: times in ISO 8601, decimals and UUIDs as text, bytes in base64, what is no number as its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidemill.replay.arrow_types import as_json


def json_rows(batch: Any) -> Iterator[str]:
    """Each row of a `pyarrow.RecordBatch` as one line of JSON, without its end."""
    for row in batch.to_pylist(maps_as_pydicts="lossy"):
        headers = row.get("_headers")
        if headers is not None:
            row["_headers"] = {name: value.decode("utf-8", "replace") for name, value in headers.items()}
        yield json_line(row)


def json_line(row: Any) -> str:
    """One JSON document on one line."""
    return as_json(row, (", ", ": "))
