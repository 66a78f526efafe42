"""Delayed events: the form in which an event waits on the topic `schedule.delayed` until it is due.

The value is the event's own, untouched. Its key is the event's id, so that compaction keeps one record per event; topic
and key of its own travel as headers beside those it has. The publisher writes this form, the scheduler reads it and,
when the event is due, writes the event to its topic as if it had been published there. No Kafka here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidemill.errors import ContractError, DecodeError
from tidemill.event import DUE, Headers

TOPIC = "schedule.delayed"
"""Topic of the events that wait, without the namespace."""
PARTITIONS = 6
"""Shared among the instances of the scheduler; events are spread over them by their ids."""

TO_TOPIC = "tm_to_topic"
TO_KEY = "tm_to_key"
_ROUTE = frozenset({TO_TOPIC, TO_KEY})

LONGEST = timedelta(days=3660)
"""What is to wait longer is a mistake in a unit, not a plan."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event that waits: what is to be written where, and when."""

    due: datetime
    """Aware, UTC, to the microsecond."""
    topic: str
    """With the namespace."""
    key: bytes | None
    headers: Headers
    """As they will be in its topic: its own, and `tm_due`."""


def due_time(delay: timedelta | None, at: datetime | None, now: datetime) -> datetime | None:
    """When an event is due that is published with `delay` or `at`.

    Args:
        delay: How long from now.
        at: Or when, aware.
        now: The present, aware.

    Returns:
        The moment in UTC; None where that is now, or past, or neither is given.

    Raises:
        ContractError: Both are given, one isn't what it should be, or it lies more than ten years ahead.
    """
    if delay is None and at is None:
        return None
    if delay is not None and at is not None:
        raise ContractError("An event is published with `delay` or with `at`, found both.")
    if delay is not None:
        if not isinstance(delay, timedelta):
            raise ContractError(
                f"delay must be a timedelta, found {type(delay).__name__}: {delay!r}.",
                hint="For example delay=timedelta(minutes=5).",
            )
        if delay > LONGEST:
            raise ContractError(f"A delay is at most {LONGEST.days:,} days, found {delay}.")
        due = now + delay
    else:
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise ContractError(
                f"at must be a datetime with a time zone, found {at!r}.",
                hint="For example datetime(2027, 1, 1, 7, 0, tzinfo=ZoneInfo('Europe/Paris')).",
            )
        due = at
        if due - now > LONGEST:
            raise ContractError(f"at lies at most {LONGEST.days:,} days ahead, found {at.isoformat()}.")
    return due.astimezone(UTC) if due > now else None


def packed(topic: str, key: bytes | None, headers: Iterable[tuple[str, bytes]], due: datetime) -> Headers:
    """The headers with which an event waits.

    Args:
        topic: Where it goes when it is due, with the namespace.
        key: Its key there.
        headers: Its headers.
        due: When it is due, aware.
    """
    route = [(DUE, due.astimezone(UTC).isoformat().encode()), (TO_TOPIC, topic.encode())]
    if key is not None:
        route.append((TO_KEY, key))
    return [*(pair for pair in headers if pair[0] != DUE), *route]


def unpacked(headers: Iterable[tuple[str, bytes | None]]) -> Parcel:
    """The event that waits under these headers.

    Raises:
        DecodeError: They aren't those of a delayed event; says which is missing or can't be read.
    """
    pairs = list(headers)
    named = dict(pairs)
    topic, text = named.get(TO_TOPIC), named.get(DUE)
    if not topic or not text:
        raise DecodeError(f"A delayed event needs the headers {TO_TOPIC} and {DUE}, found {sorted(named)}.")
    try:
        due = datetime.fromisoformat(text.decode())
        name = topic.decode()
    except ValueError as error:
        raise DecodeError(f"A delayed event's {DUE} or {TO_TOPIC} can't be read: {text!r}, {topic!r}.") from error
    if due.tzinfo is None:
        raise DecodeError(f"A delayed event's {DUE} has no time zone: {text!r}.")
    own: Headers = [(name, value) for name, value in pairs if name not in _ROUTE and value is not None]
    return Parcel(due.astimezone(UTC), name, named.get(TO_KEY), own)
