"""The payload of an event that waits, for people: as its contract reads it, in JSON."""

from __future__ import annotations

import base64
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from tidemill.codec import Codec
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.registry import Registry
from tidemill.errors import DecodeError, RegistryError, UnknownEventType
from tidemill.event import TYPE

if TYPE_CHECKING:
    from scheduler.delays.waiting import Waiting
    from tidemill.config import Settings


def payload_of(settings: Settings, event: Waiting) -> tuple[Any, str | None]:
    """The payload as JSON data, and why it can't be read, where it can't.

    Args:
        settings: The registry's address.
        event: The event.

    Returns:
        JSON data and None; or the raw value in base64, and the reason.
    """
    event_type = dict(event.headers).get(TYPE, b"").decode("utf-8", "replace")
    try:
        cls = installed_events().by_type(event_type)
        with Registry(settings) as registry:
            return _plain(Codec(registry).decode(event.value, cls).to_record()), None
    except (UnknownEventType, DecodeError, RegistryError) as error:
        return base64.b64encode(event.value).decode(), str(error)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
