"""The way around of an event that is tried again later: over `schedule.delayed` to a topic of the stream's own.

It can't go back to the topic it came from: other groups read that, too, and would handle it twice. What the way adds
to an event's headers lies behind them, so that its dead letter has them as they were. No Kafka here.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from tidemill import delayed
from tidemill.event import ATTEMPT, DUE, ID, REDRIVE, Event, Headers, Position, derived_id, headers_of
from tidemill.publisher.preparing import Outgoing

if TYPE_CHECKING:
    from tidemill.event import Message

ORIGIN = "tm_retry_origin"
"""Where the event lay before its first try: topic, partition, offset and timestamp, separated by spaces. The first of
the headers that aren't the event's own."""
WAS_DUE = "tm_retry_was_due"
"""The `tm_due` that it had then, if it had one."""


def retry_topic(group: str) -> str:
    """The topic on which a stream gets back what it has put off, without the namespace.

    Args:
        group: The stream's consumer group, without the namespace.
    """
    return f"{group}.retry"


def can_go_around(message: Message) -> bool:
    """Whether an event may go around: a record that waits has neither headers nor a value that are null, and whoever
    has put an event back is told of its end by the commit that passes it (`runtime.redrive`)."""
    headers = headers_of(message)
    return message.value() is not None and all(value is not None and name != REDRIVE for name, value in headers)


def put_off(message: Message, *, group: str, topic: str, delayed_topic: str, attempts: int, due: datetime) -> Outgoing:
    """The record with which an event waits on `schedule.delayed`.

    Args:
        message: The event as it was consumed.
        group: The stream's consumer group.
        topic: Its retry topic, with the namespace.
        delayed_topic: `schedule.delayed`, with the namespace.
        attempts: Tries made.
        due: When the next one is due, aware.
    """
    event = Event.received(None, message)
    own = own_headers(message)
    added = [(ORIGIN, " ".join(map(str, origin(message))).encode())]
    if (due_before := dict(own).get(DUE)) is not None:
        added.append((WAS_DUE, due_before))
    if not dict(own).get(ID):
        # An id that follows from where an event lies must not change on the way.
        added.append((ID, event.id.encode()))
    # As every reader of `tm_attempt` takes it: which try the delivery to come is.
    added.append((ATTEMPT, str(attempts + 1).encode()))
    headers = [pair for pair in own if pair[0] != DUE] + added
    # The same whenever this try fails again after a crash: it replaces what waits already, rather than doubling it.
    record_id = derived_id(event.id, f"{group}:retry:{attempts}")
    return Outgoing(
        id=record_id,
        topic=delayed_topic,
        key=record_id.encode(),
        value=message.value(),
        headers=delayed.packed(topic, message.key(), cast(Headers, headers), due),
    )


def tries_before(message: Message) -> int:
    """How often an event that came back was tried already."""
    return Event.received(None, message).attempt - 1


def origin(message: Message) -> Position:
    """Where an event lay before its first try; where it lies now, if it didn't go around."""
    event = Event.received(None, message)
    text = dict(event.raw_headers).get(ORIGIN, b"").decode("utf-8", "replace")
    topic, *numbers = text.split(" ")
    if len(numbers) == 3 and all(number.isascii() and number.isdigit() for number in numbers):
        partition, offset, timestamp_ms = map(int, numbers)
        return Position(topic, partition, offset, timestamp_ms)
    return event.position


def own_headers(message: Message) -> list[tuple[str, bytes | None]]:
    """An event's headers without what the way has added."""
    headers = headers_of(message)
    names = [name for name, _ in headers]
    if ORIGIN not in names:
        return headers
    own, added = headers[: names.index(ORIGIN)], headers[names.index(ORIGIN) :]
    due_before = dict(added).get(WAS_DUE)
    return own if due_before is None else [*own, (DUE, due_before)]
