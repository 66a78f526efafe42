"""A dead letter, read from its message: what it says of itself, made safe for a table and a terminal. Computes only.

Nothing in a letter is believed: topics that end like those of dead letters may hold anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from consumers.deadletters.fingerprint import Fingerprint, fingerprint
from consumers.deadletters.plain_text import decoded, one_line
from tidemill.event import ID, REDRIVES, TYPE, derived_id, headers_of
from tidemill.jobs.stored_id import stored_id
from tidemill.runtime import deadletter

if TYPE_CHECKING:
    from tidemill.event import Message

MOST_MESSAGE = 300
MOST_NAME = 200
MOST_NUMBER = 2**62
MOST_MS = 253_402_300_799_000
"""The last second that has a date: 9999-12-31T23:59:59Z."""
UNKNOWN = ""
"""The stream of a letter that names none."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What the index keeps of a dead letter."""

    topic: str
    """Of the dead letters, without the namespace."""
    partition: int
    offset: int
    written_ms: int
    """The record's own timestamp, milliseconds since 1970."""
    died_ms: int
    stream: str
    """Empty where it names none."""
    handler: str
    error: str
    message: str
    attempts: int
    group: Fingerprint
    event_id: str
    type: str
    key: str
    source_topic: str
    """Where the event lay, without the namespace; empty where the letter doesn't say."""
    source_partition: int
    source_offset: int
    death: str
    """The same for two letters of one death: its worker was killed before it could commit, and it died once more."""
    redrives: int
    """How often it had been put back before."""
    size_bytes: int


def read_letter(message: Message, namespace: str) -> Letter:
    """A letter; never fails, whatever the message is.

    Args:
        message: Of a topic of dead letters.
        namespace: What is taken off the names of topics.
    """
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    written_ms = min(max(0, message.timestamp()[1]), MOST_MS)
    pairs = headers_of(message)
    headers = dict(pairs)
    stream = _name(headers.get(deadletter.STREAM))
    handler = _name(headers.get(deadletter.HANDLER))
    error = _name(headers.get(deadletter.ERROR)) or "unknown"
    said = decoded(headers.get(deadletter.MESSAGE))
    source_topic = decoded(headers.get(deadletter.TOPIC))
    source_partition, source_offset = number(headers, deadletter.PARTITION), number(headers, deadletter.OFFSET)
    # An id that follows from where an event lay is that of the place that its letter tells of.
    lay = (source_topic, source_partition, source_offset) if source_topic else (topic, partition, offset)
    event_id = stored_id(decoded(headers.get(ID)) or derived_id("/".join(map(str, lay)), "foreign"))
    value, key = message.value() or b"", message.key() or b""
    return Letter(
        topic=topic.removeprefix(namespace),
        partition=partition,
        offset=offset,
        written_ms=written_ms,
        died_ms=_milliseconds(decoded(headers.get(deadletter.TIME))) or written_ms,
        stream=stream,
        handler=handler,
        error=error,
        message=one_line(said, MOST_MESSAGE),
        attempts=number(headers, deadletter.ATTEMPTS),
        group=fingerprint(stream, handler, error, one_line(said, 2_000), decoded(headers.get(deadletter.TRACE))),
        event_id=event_id,
        type=_name(headers.get(TYPE)),
        key=one_line(decoded(key), MOST_NAME),
        source_topic=one_line(source_topic, 249).removeprefix(namespace),
        source_partition=source_partition,
        source_offset=source_offset,
        death=_death(stream, lay, number(headers, deadletter.TIMESTAMP), event_id),
        redrives=number(headers, REDRIVES),
        size_bytes=len(key) + len(value) + sum(len(name) + len(each or b"") for name, each in pairs),
    )


def own_headers(message: Message) -> list[tuple[str, bytes | None]]:
    """The event's headers as they were before it died."""
    return [pair for pair in headers_of(message) if not pair[0].startswith(deadletter.PREFIX)]


def number(headers: Mapping[str, bytes | None], name: str) -> int:
    """A header that is a whole number; 0 where it isn't one, or none that a table takes."""
    text = decoded(headers.get(name))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return 0
    found = int(text)
    return found if found <= MOST_NUMBER else 0


@lru_cache(maxsize=4_096)
def _name(value: bytes | None) -> str:
    """Text that many letters have in common."""
    return one_line(decoded(value), MOST_NAME)


def _death(stream: str, lay: tuple[str, int, int], timestamp_ms: int, event_id: str) -> str:
    told = "\0".join(map(str, (stream, *lay, timestamp_ms, event_id)))
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=10).hexdigest()


def _milliseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text[:64])
        found = None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 0 < found <= MOST_MS else None
