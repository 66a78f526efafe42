"""Rows as JSON text: times in ISO 8601, decimals and UUIDs as text, bytes in base64, what is no number as its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tidemill.replay.arrow_types import as_json, json_form
from tidemill.replay.extras import need

_SEPARATORS = (", ", ": ")
# Made once: json.dumps with arguments makes one for each call.
_encode = json.JSONEncoder(default=json_form, ensure_ascii=False, allow_nan=False, separators=_SEPARATORS).encode


def json_rows(batch: Any) -> Iterator[str]:
    """Each row of a `pyarrow.RecordBatch` as one line of JSON, without its end."""
    names = batch.schema.names
    columns = [_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    for row in zip(*columns, strict=True):
        yield json_line(dict(zip(names, row, strict=True)))


def json_line(row: Any) -> str:
    """One JSON document on one line."""
    try:
        return _encode(row)
    except ValueError:
        return as_json(row, _SEPARATORS)


def _values(name: str, column: Any) -> Iterable[Any]:
    """A column's values as Python has them; by numpy where that is much faster and the same."""
    types, kind = need("pyarrow", "writing JSON").types, column.type
    if name == "_headers":
        return [
            headers and {each: value and value.decode("utf-8", "replace") for each, value in headers.items()}
            for headers in column.to_pylist(maps_as_pydicts="lossy")
        ]
    if types.is_timestamp(kind) and kind.unit in ("ms", "us") and kind.tz in (None, "UTC"):
        zone = "+00:00" if kind.tz else ""
        moments = column.to_numpy(zero_copy_only=False).tolist()
        return [None if each is None else each.isoformat() + zone for each in moments]
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    if types.is_string(kind) or (is_number and not column.null_count):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    whole: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    return whole
