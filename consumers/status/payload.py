"""A result's payload as JSON text: what a program asks for that waits for its job. Computes only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tidemill.json_values import json_data

if TYPE_CHECKING:
    from tidemill.contracts.contract import Payload

MOST_CHARACTERS = 65_536
"""What is larger isn't kept: the event itself is in its topic."""


def payload_json(payload: Payload) -> str | None:
    """The text; None where it would be larger than is kept.

    Bytes become base64, times RFC 3339, and numbers that JSON doesn't have (NaN) text.
    """
    text = json.dumps(json_data(payload.to_record()), separators=(",", ":"), sort_keys=True)
    return text if len(text) <= MOST_CHARACTERS else None
