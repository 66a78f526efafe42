"""A result's payload as JSON text: what a program asks for that waits for its job. Computes only."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.contracts.contract import Payload

MOST_CHARACTERS = 65_536
"""What is larger isn't kept: the event itself is in its topic."""


def payload_json(payload: Payload) -> str | None:
    """The text; None where it would be larger than is kept.

    Bytes become base64, times RFC 3339, and numbers that JSON doesn't have (NaN) text.
    """
    text = json.dumps(_plain(payload.to_record()), separators=(",", ":"), sort_keys=True)
    return text if len(text) <= MOST_CHARACTERS else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
