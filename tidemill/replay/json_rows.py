"""Rows as JSON text: times in ISO 8601, decimals and UUIDs as text, bytes in base64, what is no number as its name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from tidemill.replay.arrow_types import as_json, json_form


def json_rows(batch: Any) -> Iterator[str]:
    """Each row of a `pyarrow.RecordBatch` as one line of JSON, without its end."""
    for row in batch.to_pylist(maps_as_pydicts="lossy"):
        headers = row.get("_headers")
        if headers is not None:
            row["_headers"] = {name: value.decode("utf-8", "replace") for name, value in headers.items()}
        yield json_line(row)


def json_line(row: Any) -> str:
    """One JSON document on one line; NaN and infinities become text, since JSON has no form for them."""
    try:
        return json.dumps(row, default=json_form, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return as_json(_named(row))


def _named(value: Any) -> Any:
    match value:
        case dict():
            return {name: _named(each) for name, each in value.items()}
        case list():
            return [_named(each) for each in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
