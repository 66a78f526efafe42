"""What a log says of a unit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tidemill.event import Event

if TYPE_CHECKING:
    from tidemill.runtime.partition import Unit


def facts_of(unit: Unit) -> dict[str, Any]:
    """What a log says of a unit: of its first message, and how many there are."""
    message = unit.messages[0]
    facts: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "id": Event.received(None, message).id,
        "attempt": unit.attempt,
        "seconds": round(time.monotonic() - unit.started, 4),
    }
    if unit.count > 1:
        facts["count"] = unit.count
    return facts
