"""Dead letters: the event's raw key, value and headers, untouched, and beside them why it could not be handled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from tidemill.errors import TidemillError
from tidemill.event import ID, Headers
from tidemill.publisher.preparing import Outgoing
from tidemill.runtime.error_text import class_of, formatted_trace, text_of
from tidemill.runtime.executors.child import RemoteTrace
from tidemill.runtime.retry_route import origin, own_headers

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

NAME_BYTES = 1_000
MESSAGE_BYTES = 4_000
TRACE_BYTES = 16_000


class DeadLetter(Outgoing):
    """A message whose headers may be without a value, as they came; events of our own never have such."""

    __slots__ = ()

    @property
    def size_bytes(self) -> int:
        """As `Outgoing.size_bytes`; value and headers may be missing."""
        pairs: list[tuple[str, bytes | None]] = list(self.headers)
        return (
            len(self.key or b"") + len(self.value or b"") + sum(len(name) + len(value or b"") for name, value in pairs)
        )


def dead_letter(topic: str, message: Message, stream: Stream, error: BaseException, attempts: int) -> DeadLetter:
    """The dead letter of a message.

    Args:
        topic: The dead-letter topic, with its namespace.
        message: The message as it was consumed.
        stream: The stream that could not handle it.
        error: The last error.
        attempts: Tries made, 0 where it could not even be decoded.
    """
    headers, lay = own_headers(message), origin(message)
    facts = {
        ERROR: _cut(_utf8(class_of(error)), NAME_BYTES),
        MESSAGE: _cut(_utf8(text_of(error)), MESSAGE_BYTES),
        TRACE: _cut_middle(_utf8(trace_of(error)), TRACE_BYTES),
        ATTEMPTS: str(attempts).encode(),
        STREAM: stream.name.encode(),
        HANDLER: _cut(_utf8(stream.reference), NAME_BYTES),
        TOPIC: lay.topic.encode(),
        PARTITION: str(lay.partition).encode(),
        OFFSET: str(lay.offset).encode(),
        TIMESTAMP: str(lay.timestamp_ms).encode(),
        TIME: datetime.now(UTC).isoformat().encode(),
    }
    named = dict(headers)
    return DeadLetter(
        id=(named.get(ID) or b"").decode("utf-8", "replace"),
        topic=topic,
        key=message.key(),
        value=message.value(),
        headers=cast(Headers, [*headers, *facts.items()]),
    )


def _utf8(text: str) -> bytes:
    # Lone surrogates, as in names of files that are not UTF-8, have no bytes.
    return text.encode("utf-8", "replace")


def trace_of(error: BaseException) -> str:
    """The error's traceback; for our own errors, which say everything in their message, only if another caused it."""
    if isinstance(error, TidemillError) and error.__cause__ is None and error.__traceback__ is None:
        return ""
    if isinstance(error.__cause__, RemoteTrace):
        # What the worker's own frames add says nothing about the handler.
        return str(error.__cause__.args[0])
    return formatted_trace(error)


def _cut(text: bytes, most: int) -> bytes:
    return text if len(text) <= most else _whole(text[: most - 3]) + b"..."


def _cut_middle(text: bytes, most: int) -> bytes:
    """Of a long traceback the beginning (where it was called) and the end (what happened) tell most."""
    if len(text) <= most:
        return text
    half = most // 2 - 10
    return _whole(text[:half]) + b"\n  [...]\n" + _whole(text[-half:])


def _whole(text: bytes) -> bytes:
    """Without the parts of characters that were cut at either end."""
    return text.decode("utf-8", "ignore").encode()
