"""An event as it came over HTTP, and the message for Kafka that it becomes.

What a CloudEvent says of itself (id, source, time, subject, trace, extensions) is taken over into the message's
headers, as the Kafka binding of CloudEvents has them. Nothing of `tm_` can be said from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tidemill import event as envelope
from tidemill.errors import ContractError, EventTooLarge
from tidemill.publisher.preparing import MAX_KEY_BYTES

if TYPE_CHECKING:
    from tidemill.contracts.contract import Payload
    from tidemill.publisher.preparing import Outgoing, Preparer

MOST_TEXT = 2_000
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True, kw_only=True)
class Incoming:
    """One event and what was said with it."""

    payload: Payload
    id: str | None = None
    """Its id, as its sender gives it or as it follows from what makes a repeat the same event; None: a new one."""
    key: str | None = None
    subject: str | None = None
    delay: timedelta | None = None
    at: datetime | None = None
    source: str | None = None
    time: datetime | None = None
    traceparent: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Further attributes of a CloudEvent."""


def outgoing(preparer: Preparer, event: Incoming) -> Outgoing:
    """The message of an event.

    Raises:
        ContractError, InvalidEvent, EventTooLarge: As `Preparer.prepare`.
    """
    if event.key is not None:
        # Another key doesn't make the contract's own field one that nobody could publish by.
        own = type(event.payload).__contract__.key_of(event.payload)
        if own is not None:
            text_of(own, "key", MAX_KEY_BYTES)
    message = preparer.prepare(
        event.payload, key=event.key, subject=event.subject, event_id=event.id, delay=event.delay, at=event.at
    )
    if event.source is None and event.time is None and event.traceparent is None and not event.extensions:
        return message
    said: dict[str, bytes] = {f"ce_{name}": text.encode() for name, text in event.extensions.items()}
    if event.source is not None:
        said[envelope.SOURCE] = event.source.encode()
    if event.time is not None:
        said[envelope.TIME] = event.time.isoformat().encode()
    if event.traceparent is not None:
        said[envelope.TRACEPARENT] = event.traceparent.encode()
    message.headers = [(name, said.pop(name, value)) for name, value in message.headers]
    message.headers += said.items()
    most_bytes = preparer.settings.max_event_bytes
    if message.size_bytes > most_bytes:
        raise EventTooLarge(
            f"This event has {message.size_bytes:,} bytes with its attributes; at most {most_bytes:,} are taken."
        )
    return message


def traceparent_of(text: str | None) -> str | None:
    """A W3C trace context that can be passed on; None for what isn't one, as the standard wants (section 3.2.2)."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) and not text.startswith("ff") else None


def text_of(value: object, what: str, most: int = MOST_TEXT) -> str:
    """A text that may stand in a header.

    Raises:
        ContractError: It is none, empty, too long, or has characters that can't be printed.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable():
        raise ContractError(
            f"The {what} must be text of 1 to {most:,} printable characters, found {str(value)[:60]!r}."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ContractError(f"The {what} holds half a character, which UTF-8 can't write.") from None
    return value


def moment_of(value: object, what: str) -> datetime:
    """A moment of RFC 3339.

    Raises:
        ContractError: It isn't one, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ContractError(
            f'The {what} must be a date and time with a zone, such as "2026-11-22T12:30:00Z", '
            f"found {str(value)[:60]!r}."
        )
    return moment
