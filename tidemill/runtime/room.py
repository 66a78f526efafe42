"""Room in memory while keys wait: of the events behind one that waits long, only where they are is kept.

Runs on the event loop. Without it, a key with many events whose first one waits would fill its partition's room, and
all other keys of the partition would wait with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tidemill.runtime.recall import Wanted

if TYPE_CHECKING:
    import structlog

    from tidemill.event import Message
    from tidemill.runtime.partition import Partition, Unit
    from tidemill.runtime.recall import Recall
    from tidemill.runtime.stream import Stream
    from tidemill.runtime.waiting import Waiting

LONG_WAIT_SECONDS = 2.0
"""Shorter waits aren't worth fetching anything again."""
BACK_AT_ONCE = 256
"""Messages of a key that are fetched together when it goes on."""
BACK_WHEN_FULL = 16
"""The same where very many keys go on at once."""


class Room:
    """Lets messages of one stream go, and calls them back.

    Args:
        stream: Its limits.
        waiting: The units that wait for their next try.
        recall: Fetches messages again; None to keep all.
        start: What is called with a unit that may start and has its message again.
        log: For what is gone by then.
    """

    def __init__(
        self,
        stream: Stream,
        waiting: Waiting,
        recall: Recall | None,
        start: Callable[[Unit], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._stream = stream
        self._waiting = waiting
        # With batches a partition has one lane: all of it waits.
        self._recall = recall if stream.batch is None else None
        self._start = start
        self._coming = 0
        """Messages that are called back and haven't come."""
        self._log = log

    def make(self, part: Partition) -> None:
        """Let go what waits behind events that wait long, where a partition's room gets short."""
        if self._recall is None or self._is_wide(part, 0):
            return
        for unit in self._waiting.long(part, LONG_WAIT_SECONDS):
            if unit.key is not None:
                part.let_go(unit.key)

    def _is_wide(self, part: Partition, more: int) -> bool:
        return part.count + more < self._stream.room // 2 and part.bytes < self._stream.room_bytes // 2

    def call_back(self, unit: Unit) -> None:
        """Fetch the message of a unit that may start, and those of the next ones of its key; then start it."""
        assert self._recall is not None  # Who lets go can call back.
        part = unit.part
        units = part.let_go_behind(unit, BACK_AT_ONCE if self._is_wide(part, self._coming) else BACK_WHEN_FULL)
        self._coming += len(units)
        self._recall.want(
            Wanted(
                part.topic,
                part.number,
                [each.offset for each in units],
                lambda: not part.open,
                partial(self._came_back, part, units),
            )
        )

    def _came_back(self, part: Partition, units: list[Unit], messages: list[Message]) -> None:
        self._coming -= len(units)
        if not part.open:
            return
        found = {message.offset(): message for message in messages}
        for unit in units:
            if unit.offset in found:
                part.take_back(unit, (found[unit.offset],))
        first: Unit | None = units[0]
        gone: list[int] = []
        while first is not None and not first.messages and first in units:
            gone.append(first.offset)
            part.take_back(first, ())
            first = part.finish(first)
        if gone:
            self._tell_gone(part, gone)
        if first is not None:
            self._start(first)

    def _tell_gone(self, part: Partition, offsets: list[int]) -> None:
        self._log.error(
            "events were deleted before they were read",
            topic=part.topic,
            partition=part.number,
            from_offset=offsets[0],
            to_offset=offsets[-1] + 1,
            events_at_most=len(offsets),
            hint="They waited behind one of their key. Give the topic a longer retention, or its retries less time.",
        )
