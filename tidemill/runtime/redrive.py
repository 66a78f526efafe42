"""Events that were put back for one stream alone: whoever else reads their topic passes over them.

A header names the stream. To read headers costs several times what all else does that is done to an event before its
handler, so a redriven event has a timestamp by which it may be one: its milliseconds are `MARK_MS`. Of all other events
one in a thousand has that, too, and is only looked at more closely. No Kafka here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from confluent_kafka import TIMESTAMP_CREATE_TIME

from tidemill.event import REDRIVE, headers_of

if TYPE_CHECKING:
    from tidemill.event import Message
    from tidemill.runtime.partition import Partition

MARK_MS = 613
_SECOND_MS = 1_000


def marked(now_ms: int) -> int:
    """The timestamp of an event that is put back.

    Args:
        now_ms: Milliseconds since 1970.

    Returns:
        The last marked one up to then: at most 999 ms earlier.
    """
    return now_ms - (now_ms - MARK_MS) % _SECOND_MS


def stream_of(message: Message) -> str | None:
    """The only stream that is to handle a message; None where every one is. Reads its headers."""
    named = dict(headers_of(message)).get(REDRIVE)
    return None if named is None else named.decode("utf-8", "replace")


def sort_out(part: Partition, messages: Sequence[Message], stream: str) -> Iterator[Sequence[Message]]:
    """What a stream has to do of these messages, in runs; those for another stream count as done at once.

    Args:
        part: Their partition.
        messages: In offset order, and beyond all that is in hand.
        stream: The stream's name.
    """
    # One call per event is all that this may cost where nothing was put back.
    # A list is quicker than a generator here.
    if not any([_may_be_redriven(*message.timestamp()) for message in messages]):  # noqa: C419
        yield messages
        return
    for ours, run in groupby(messages, key=lambda message: _is_for(message, stream)):
        some = list(run)
        if ours:
            yield some
        else:
            part.pass_over(range(some[0].offset() or 0, (some[-1].offset() or 0) + 1))


def _is_for(message: Message, stream: str) -> bool:
    return not _may_be_redriven(*message.timestamp()) or stream_of(message) in (None, stream)


def _may_be_redriven(kind: int, timestamp_ms: int) -> bool:
    # Where the broker sets the time, it says nothing, and all headers have to be read.
    return timestamp_ms % _SECOND_MS == MARK_MS or kind != TIMESTAMP_CREATE_TIME
