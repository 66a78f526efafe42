"""Back-pressure: which partitions have too much in hand, and which have room again. No I/O, no asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.runtime.partition import Partition
    from tidemill.runtime.stream import Stream

Key = tuple[str, int]
"""Topic and partition."""

MOST_AHEAD = 4096
"""Finished events behind one that isn't, neighbours counted as one, from which on a partition is paused: only their
offsets are held, but the map of them has to fit into a commit."""


MOST_STUBS = 100_000
"""Events behind ones that wait for their next try, of which only the place is kept (some 250 bytes each), from which on
a partition is paused."""


def full(stream: Stream, parts: Mapping[Key, Partition]) -> set[Key]:
    """Partitions that have reached a limit.

    Args:
        stream: Its limits.
        parts: What is in hand.
    """
    return {
        key
        for key, part in parts.items()
        if part.count >= stream.room
        or part.bytes >= stream.room_bytes
        or part.ahead >= MOST_AHEAD
        or part.stubs >= MOST_STUBS
    }


def relieved(stream: Stream, parts: Mapping[Key, Partition], paused: Set[Key]) -> set[Key]:
    """Of the paused partitions those that have half of every limit free again, or are not here any more.

    Args:
        stream: Its limits.
        parts: What is in hand.
        paused: Those that were full.
    """
    return {key for key in paused if key not in parts or _is_half_empty(stream, parts[key])}


def _is_half_empty(stream: Stream, part: Partition) -> bool:
    return (
        part.count <= stream.room // 2
        and part.bytes <= stream.room_bytes // 2
        and part.ahead <= MOST_AHEAD // 2
        and part.stubs <= MOST_STUBS // 2
    )
