"""The event that a dead letter was, made ready to go back: its bytes, its key and its headers as they were.

What is added names the only stream that is to handle it, and how often it was put back. Its number of tries starts
anew. Computes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.deadletters.actions import Done
from consumers.deadletters.letter import Letter, own_headers, read_letter
from consumers.deadletters.topics import source_of
from tidemill.errors import DeadLetterError
from tidemill.event import ATTEMPT, ID, REDRIVE, REDRIVES

if TYPE_CHECKING:
    from tidemill.event import Message

NOT_HANDED_ON = frozenset({REDRIVE, REDRIVES, ATTEMPT})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event on its way back."""

    letter: Letter
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int | None
    """None for the key's."""

    @property
    def size_bytes(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    def done(self, to_partition: int, to_offset: int) -> Done:
        """That it was put back there."""
        letter = self.letter
        return Done(letter.partition, letter.offset, letter.written_ms, to_partition, to_offset)


def outgoing(message: Message, namespace: str, partitions: int, to_stream: str | None) -> Outgoing:
    """The event of a letter.

    Args:
        message: The letter, as it lies in its topic.
        namespace: What is taken off the names of topics.
        partitions: How many its event's topic has.
        to_stream: The stream that is to handle it; None for the one where it died.

    Raises:
        DeadLetterError: The letter doesn't say where it died, or names another topic than the one it is of.
    """
    letter = read_letter(message, namespace)
    stream = to_stream or letter.stream
    if not stream:
        raise DeadLetterError(
            "It doesn't say in which stream it died.", hint="Name the stream that is to handle it with --to-stream."
        )
    if letter.source_topic not in ("", source_of(letter.topic)):
        raise DeadLetterError(f"It lies in {letter.topic!r} and says that it died in {letter.source_topic!r}.")
    headers = [pair for pair in own_headers(message) if pair[0] not in NOT_HANDED_ON]
    if not dict(headers).get(ID):
        # An id that follows from where an event lay must not change on the way.
        headers.append((ID, letter.event_id.encode()))
    headers.append((REDRIVE, stream.encode()))
    headers.append((REDRIVES, str(letter.redrives + 1).encode()))
    key = message.key()
    keeps = key is None and bool(letter.source_topic) and letter.source_partition < partitions
    return Outgoing(letter, key, message.value(), headers, letter.source_partition if keeps else None)
