"""One assigned partition: lanes by key, and the offset up to which everything is done. No I/O, no asyncio.

Invariants (docs/invariants.md):
    I1  `safe` never passes an event that isn't done.
    I2  Of one key at most one unit is handed out; the next follows when that one is done.
    I3  After `close` nothing is handed out any more; after `lose` nothing counts as done any more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from tidemill.event import Event, Message


class Unit:
    """What is run as one: a message, or a batch of one partition's messages."""

    __slots__ = (
        "attempt",
        "count",
        "done",
        "error",
        "holds",
        "key",
        "messages",
        "next_offset",
        "part",
        "pending",
        "single",
        "size",
        "started",
    )

    def __init__(
        self, part: Partition, messages: Sequence[Message], key: bytes | None, next_offset: int, size: int
    ) -> None:
        self.part = part
        self.messages = messages
        self.key = key
        self.count = len(messages)
        self.next_offset = next_offset
        self.size = size
        self.done = False
        self.attempt = 0
        self.pending = 0
        """Outputs whose acknowledgement is awaited."""
        self.single: int | None = None
        """Index of the message in turn, while a batch that failed is run one by one."""
        self.error: Exception | None = None
        self.holds = 0
        """How often it was put off because the registry was away; no try counts for that."""
        self.started = 0.0

    @property
    def current(self) -> Sequence[Message]:
        """The messages of this try: all of them, or one of a batch that failed."""
        return self.messages if self.single is None else self.messages[self.single : self.single + 1]


def units_of(part: Partition, messages: Sequence[Message], *, batch: int | None, ordered: bool) -> list[Unit]:
    """Messages of one partition as units: each by itself, or batches, one at a time where order counts.

    Args:
        part: Their partition.
        messages: In offset order.
        batch: Most messages of a unit; None for single ones.
        ordered: Whether the stream keeps order.
    """
    if batch is None:
        return [Unit(part, (m,), m.key(), (m.offset() or 0) + 1, len(m.value() or b"")) for m in messages]
    key = b"" if ordered else None
    units = []
    for first in range(0, len(messages), batch):
        some = messages[first : first + batch]
        size = sum(len(message.value() or b"") for message in some)
        units.append(Unit(part, some, key, (some[-1].offset() or 0) + 1, size))
    return units


def facts_of(unit: Unit) -> dict[str, Any]:
    """What a log says of a unit: of its first message, and how many there are."""
    message = unit.current[0]
    facts: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "id": Event.received(None, message).id,
        "attempt": unit.attempt,
        "seconds": round(time.monotonic() - unit.started, 4),
    }
    if unit.single is None and unit.count > 1:
        facts["count"] = unit.count
    return facts


class Partition:
    """The events in hand of one partition, during one assignment.

    Args:
        topic: Topic, with its namespace.
        number: Partition.
        ordered: Keep one event of a key at a time (`order="key"`).
    """

    __slots__ = (
        "_lanes",
        "_ordered",
        "_units",
        "alive",
        "bytes",
        "committed",
        "count",
        "number",
        "open",
        "running",
        "safe",
        "topic",
    )

    def __init__(self, topic: str, number: int, *, ordered: bool) -> None:
        self.topic = topic
        self.number = number
        self.open = True
        """May events be started?"""
        self.alive = True
        """May events be finished and committed?"""
        self.running = 0
        """Units whose handler runs, or whose outputs wait for an acknowledgement."""
        self.count = 0
        self.bytes = 0
        self.safe: int | None = None
        """The offset to commit: everything before it is done. None until something is."""
        self.committed: int | None = None
        self._ordered = ordered
        self._units: deque[Unit] = deque()
        self._lanes: dict[bytes, deque[Unit] | None] = {}

    def add(self, unit: Unit) -> bool:
        """Take a unit in hand, in offset order.

        Returns:
            Whether it may start now; otherwise it waits behind its key (I2).
        """
        self._units.append(unit)
        self.count += unit.count
        self.bytes += unit.size
        key = unit.key
        if key is None or not self._ordered:
            return True
        lanes = self._lanes
        if key not in lanes:
            lanes[key] = None
            return True
        lane = lanes[key]
        if lane is None:
            lanes[key] = deque((unit,))
        else:
            lane.append(unit)
        return False

    def finish(self, unit: Unit) -> Unit | None:
        """Mark a unit done.

        Returns:
            The next unit of its key, which may start now.
        """
        unit.done = True
        units = self._units
        if units and units[0] is unit:
            # Only up to the first event that isn't done (I1).
            while units and units[0].done:
                first = units.popleft()
                self.count -= first.count
                self.bytes -= first.size
                self.safe = first.next_offset
        key = unit.key
        if key is None or not self._ordered:
            return None
        lane = self._lanes.get(key)
        if lane:
            return lane.popleft()
        self._lanes.pop(key, None)
        return None

    def close(self) -> None:
        """Start nothing more; what runs may finish."""
        self.open = False

    def lose(self) -> None:
        """The partition belongs to somebody else: nothing of it counts any more."""
        self.open = self.alive = False
        self._units.clear()
        self._lanes.clear()
        self.count = self.bytes = 0

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit, or None where there is nothing new."""
        return self.safe if self.alive and self.safe != self.committed else None
