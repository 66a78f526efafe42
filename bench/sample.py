"""The event that everything is measured with, as plain values: an ordinary request for three renditions.

Some 120 bytes as Avro, 230 as JSON. Standard library only, as `meter`: every contender publishes the same.
"""

from __future__ import annotations

import time
from typing import Any

KEYS = 5000
SIZES = (("l", 1600), ("m", 800), ("s", 200))


def source(number: int) -> str:
    """Its picture, and so its key; every 5,000th event has the same."""
    return f"s3://shop-uploads/2026/11/24/customer-{number % KEYS:06d}/original.jpg"


def request(number: int, *, timed: bool) -> dict[str, Any]:
    """The event as a mapping, for contenders that send JSON.

    Args:
        number: Its number.
        timed: Add `sent`, the time of now, for handlers that note how late an event is.
    """
    event: dict[str, Any] = {
        "source": source(number),
        "renditions": [{"name": name, "width": width, "format": "jpeg"} for name, width in SIZES],
    }
    if timed:
        event["sent"] = time.time()
    return event
