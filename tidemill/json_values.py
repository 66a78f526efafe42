"""Decoded Avro values as JSON: times in ISO 8601, decimals and UUIDs as text, bytes in base64; `json_events` reads it.

NaN and the infinities become text, too, since JSON has no form for them (RFC 8259, section 6).
"""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID


def as_json(value: Any, separators: tuple[str, str] = (",", ":")) -> str:
    """JSON text of a decoded value, on one line."""
    write = partial(json.dumps, default=json_form, ensure_ascii=False, allow_nan=False, separators=separators)
    try:
        return write(value)
    except ValueError:
        return write(json_data(value))


def json_data(value: Any) -> Any:
    """A decoded value as JSON data: of dicts, lists, text, numbers, booleans and None alone.

    Raises:
        TypeError: It holds what no Avro type decodes to.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case dict():
            return {str(name): json_data(each) for name, each in value.items()}
        case list() | tuple():
            return [json_data(each) for each in value]
        case float():
            if math.isfinite(value):
                return value
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return json_form(value)


def json_form(value: Any) -> Any:
    """What stands in JSON for a value that it has no form for, as `json.dumps` asks for it.

    Raises:
        TypeError: There is nothing for it.
    """
    match value:
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
    raise TypeError(f"no JSON form for {value!r}")
