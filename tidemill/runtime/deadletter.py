"""Dead letters: the event's raw key, value and headers, untouched, and beside them why it could not be handled."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.event import ID, normal_headers
from tidemill.publisher.preparing import Outgoing
from tidemill.runtime.executors.process import RemoteTrace

if TYPE_CHECKING:
    from tidemill.event import Message
    from tidemill.runtime.stream import Stream

PREFIX = "tm_dead_"
ERROR = PREFIX + "error"
MESSAGE = PREFIX + "message"
TRACE = PREFIX + "trace"
ATTEMPTS = PREFIX + "attempts"
STREAM = PREFIX + "stream"
HANDLER = PREFIX + "handler"
TOPIC = PREFIX + "topic"
PARTITION = PREFIX + "partition"
OFFSET = PREFIX + "offset"
TIMESTAMP = PREFIX + "timestamp"
TIME = PREFIX + "time"

MESSAGE_BYTES = 4_000
TRACE_BYTES = 16_000
HEADROOM_BYTES = 32_768
"""How much larger than the largest event a dead letter may be: what the headers above can add."""


def dead_letter(topic: str, message: Message, stream: Stream, error: BaseException, attempts: int) -> Outgoing:
    """The dead letter of a message.

    Args:
        topic: The dead-letter topic, with its namespace.
        message: The message as it was consumed.
        stream: The stream that could not handle it.
        error: The last error.
        attempts: Tries made, 0 where it could not even be decoded.
    """
    headers = normal_headers(message.headers())
    facts = {
        ERROR: f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        MESSAGE: _cut(str(error) or type(error).__name__, MESSAGE_BYTES),
        TRACE: _cut_middle(trace_of(error), TRACE_BYTES),
        ATTEMPTS: str(attempts),
        STREAM: stream.name,
        HANDLER: stream.reference,
        TOPIC: message.topic() or "",
        PARTITION: str(message.partition()),
        OFFSET: str(message.offset()),
        TIMESTAMP: str(message.timestamp()[1]),
        TIME: datetime.now(UTC).isoformat(),
    }
    named = dict(headers)
    return Outgoing(
        id=named.get(ID, b"").decode("utf-8", "replace"),
        topic=topic,
        key=message.key(),
        value=message.value(),
        headers=[*headers, *((name, text.encode("utf-8", "replace")) for name, text in facts.items())],
    )


def trace_of(error: BaseException) -> str:
    """The error's traceback; for our own errors, which say everything in their message, only if another caused it."""
    if isinstance(error, TidemillError) and error.__cause__ is None and error.__traceback__ is None:
        return ""
    if isinstance(error.__cause__, RemoteTrace):
        # What the worker's own frames add says nothing about the handler.
        return str(error.__cause__.args[0])
    return "".join(traceback.format_exception(error))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _cut_middle(text: str, most: int) -> str:
    """Of a long traceback the beginning (where it was called) and the end (what happened) tell most."""
    if len(text) <= most:
        return text
    half = most // 2 - 10
    return f"{text[:half]}\n  [...]\n{text[-half:]}"
