"""Rows as JSON text: times in ISO 8601, decimals and UUIDs as text, bytes in base64, what is no number as its name.

Rows of text, whole numbers, booleans, and lists and records of these, are written by DuckDB: a quarter of the time that
Python's own encoder takes, and the same but for the case of hexadecimal digits.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from tidemill.json_values import as_json, json_form
from tidemill.replay.extras import need

_SPACED, _COMPACT = (", ", ": "), (",", ":")
# Made once: json.dumps with arguments makes one for each call.
_encoders = {
    separators: json.JSONEncoder(default=json_form, ensure_ascii=False, allow_nan=False, separators=separators).encode
    for separators in (_SPACED, _COMPACT)
}
_here = threading.local()


def json_rows(batch: Any, *, spaced: bool = False) -> Iterator[str]:
    """Each row of a `pyarrow.RecordBatch` as one line of JSON, without its end.

    Args:
        batch: The rows.
        spaced: With spaces after commas and colons, for people.
    """
    names = batch.schema.names
    if not spaced and len({*names}) == len(names) and all(_is_plain(field) for field in batch.schema):
        yield from _by_duckdb(batch)
        return
    columns = [_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    for row in zip(*columns, strict=True):
        yield json_line(dict(zip(names, row, strict=True)), _SPACED if spaced else _COMPACT)


def json_line(row: Any, separators: tuple[str, str] = _SPACED) -> str:
    """One JSON document on one line."""
    try:
        return _encoders[separators](row)
    except ValueError:
        return as_json(row, separators)


def _is_plain(field: Any) -> bool:
    """Whether DuckDB writes a column as Python would; times at the top are made text before."""
    types, kind = need("pyarrow", "writing JSON").types, field.type
    return field.name != "_headers" and (_is_moment(kind) or _is_native(types, kind))


def _is_native(types: Any, kind: Any) -> bool:
    if types.is_list(kind):
        return _is_native(types, kind.value_type)
    if types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_native(types, each.type) for each in kind)
    return bool(types.is_string(kind) or types.is_boolean(kind) or types.is_signed_integer(kind) or types.is_null(kind))


def _is_moment(kind: Any) -> bool:
    types = need("pyarrow", "writing JSON").types
    return types.is_timestamp(kind) and kind.unit in ("ms", "us") and kind.tz in (None, "UTC")


def _by_duckdb(batch: Any) -> Iterator[str]:
    pa = need("pyarrow", "writing JSON")
    columns = [
        pa.array(_values(field.name, column), pa.string()) if _is_moment(field.type) else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    if not hasattr(_here, "connection"):
        _here.connection = need("duckdb", "writing JSON").connect(config={"threads": 1})
    _here.connection.register("row", pa.Table.from_arrays(columns, batch.schema.names))
    try:
        answer = _here.connection.execute('select to_json("row") from "row"').fetchall()
    finally:
        _here.connection.unregister("row")
    for (line,) in answer:
        yield line


def _values(name: str, column: Any) -> Iterable[Any]:
    """A column's values as Python has them; by numpy where that is much faster and the same."""
    types, kind = need("pyarrow", "writing JSON").types, column.type
    if name == "_headers":
        return [
            headers and {each: value and value.decode("utf-8", "replace") for each, value in headers.items()}
            for headers in column.to_pylist(maps_as_pydicts="lossy")
        ]
    if _is_moment(kind):
        zone = "+00:00" if kind.tz else ""
        moments = column.to_numpy(zero_copy_only=False).tolist()
        return [None if each is None else each.isoformat() + zone for each in moments]
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    if types.is_string(kind) or (is_number and not column.null_count):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    whole: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    return whole
