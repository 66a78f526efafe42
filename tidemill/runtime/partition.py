"""One assigned partition: lanes by key, and the offset up to which everything is done. No I/O, no asyncio.

Invariants (docs/invariants.md):
    I1  `safe` never passes an event that isn't done.
    I2  Of one key at most one unit is handed out; the next follows when that one is done.
    I3  After `close` nothing is handed out any more; after `lose` nothing counts as done any more.
    I4  `progress` tells of nothing as done that isn't.
    I6  `progress` tells of every event that waits for its next try, until it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

from tidemill.event import Message
from tidemill.runtime.finished import LIMIT_BYTES, Held, to_metadata
from tidemill.runtime.stretches import done_beyond

MERGE_UNITS = 256
"""Done units behind one that isn't, from which on neighbours are held as one."""


class Unit:
    """What is run as one: a message, or a batch of one partition's messages."""

    __slots__ = (
        "attempt",
        "count",
        "deaths",
        "done",
        "error",
        "holds",
        "key",
        "messages",
        "next_offset",
        "offset",
        "part",
        "pending",
        "size",
        "started",
        "told",
    )

    def __init__(
        self, part: Partition, messages: Sequence[Message], key: bytes | None, offset: int, next_offset: int, size: int
    ) -> None:
        self.part = part
        self.messages = messages
        self.key = key
        self.count = len(messages)
        self.offset = offset
        self.next_offset = next_offset
        self.size = size
        self.done = False
        self.deaths = 0
        """How many processes in a row have died while it was in work."""
        self.attempt = 0
        self.pending = 0
        """Outputs whose acknowledgement is awaited."""
        self.error: Exception | None = None
        self.holds = 0
        """How often it was put off because the registry was away; no try counts for that."""
        self.started = 0.0
        self.told = 0.0  # Both by time.monotonic(): when its try began, when anything was told of it (`teller`).


def units_of(part: Partition, messages: Sequence[Message], *, batch: int | None, ordered: bool) -> list[Unit]:
    """Messages of one partition as units: each by itself, or batches, one at a time where order counts.

    Args:
        part: Their partition.
        messages: In offset order.
        batch: Most messages of a unit; None for single ones.
        ordered: Whether the stream keeps order.
    """
    if batch is None:
        return [_single(part, message, message.key()) for message in messages]
    key = b"" if ordered else None
    units = []
    for first in range(0, len(messages), batch):
        some = messages[first : first + batch]
        size = sum(len(message.value() or b"") for message in some)
        units.append(Unit(part, some, key, some[0].offset() or 0, (some[-1].offset() or 0) + 1, size))
    return units


def _single(part: Partition, message: Message, key: bytes | None) -> Unit:
    offset = message.offset() or 0
    return Unit(part, (message,), key, offset, offset + 1, len(message.value() or b""))


def _is_done(unit: Unit) -> bool:
    return unit.done


class Progress(NamedTuple):
    """How far a partition is: what goes into a commit."""

    offset: int
    """Everything before it is done."""
    metadata: str
    """What is done beyond it, and what waits there for its next try (`finished`)."""
    changes: int
    """How much had been done or put off by then; `committed` wants it back."""


class Partition:
    """The events in hand of one partition, during one assignment.

    Args:
        topic: Topic, with its namespace.
        number: Partition.
        ordered: Keep one event of a key at a time (`order="key"`).
        finished: Offsets that an earlier owner has finished already, beyond the one it committed.
        held: Events of which an earlier owner knew that they wait for their next try.
        mark: Tells it apart from all other partitions of its stream, for the flight recorder; None: by its number.
    """

    __slots__ = (
        "_changes",
        "_committed_changes",
        "_finished",
        "_lanes",
        "_merge_at",
        "_ordered",
        "_units",
        "ahead",
        "alive",
        "bytes",
        "count",
        "held",
        "mark",
        "number",
        "open",
        "running",
        "safe",
        "stubs",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        number: int,
        *,
        ordered: bool,
        finished: Sequence[range] = (),
        held: Sequence[Held] = (),
        mark: int | None = None,
    ) -> None:
        self.topic = topic
        self.number = number
        self.mark = number if mark is None else mark
        self.open = True
        """May events be started?"""
        self.alive = True
        """May events be finished and committed?"""
        self.running = 0
        """Units whose handler runs, or whose outputs wait for an acknowledgement."""
        self.count = 0
        """Events in hand that are not done."""
        self.bytes = 0
        """Their values' bytes."""
        self.ahead = 0
        """Units that are done, behind one that isn't; neighbours may be held as one."""
        self.held = {each.offset: each for each in held}
        """Events that have failed and are not done, by offset: how often they were tried, and when they are due."""
        self.stubs = 0
        """Events in hand whose messages were let go; they don't count as in hand otherwise."""
        self.safe: int | None = None
        """The offset to commit: everything before it is done. None until something is."""
        self._ordered = ordered
        self._finished = deque(finished)
        self._units: deque[Unit] = deque()
        self._lanes: dict[bytes, deque[Unit] | None] = {}
        self._merge_at = MERGE_UNITS
        self._changes = 0
        self._committed_changes = 0

    def sort_out(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """What is still to do of these messages, in runs; what an earlier owner has finished counts as done at once.

        Args:
            messages: In offset order, and beyond all messages before.
        """
        if not self._finished:
            yield messages
            return
        for known, some in groupby(messages, key=self._is_finished):
            if known:
                self._skip(list(some))
            else:
                yield list(some)

    def _is_finished(self, message: Message) -> bool:
        offset, finished = message.offset() or 0, self._finished
        while finished and finished[0].stop <= offset:
            finished.popleft()
        return bool(finished) and offset in finished[0]

    def _skip(self, messages: Sequence[Message]) -> None:
        self._count_as_done(range(messages[0].offset() or 0, (messages[-1].offset() or 0) + 1))

    def pass_over(self, gone: range) -> int:
        """The log doesn't hold these offsets any more: they count as done.

        Args:
            gone: Beyond all that is in hand.

        Returns:
            How many of them no earlier owner has finished.
        """
        finished = sum(len(range(max(gone.start, some.start), min(gone.stop, some.stop))) for some in self._finished)
        self._count_as_done(gone)
        return len(gone) - finished

    def _count_as_done(self, offsets: range) -> None:
        self._units.append(self._done(offsets.start, offsets.stop))
        for offset in [offset for offset in self.held if offset in offsets]:
            del self.held[offset]
        self.ahead += 1
        self._changes += 1
        self._advance()

    def _done(self, offset: int, next_offset: int) -> Unit:
        unit = Unit(self, (), None, offset, next_offset, 0)
        unit.done = True
        return unit

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
        if not self.alive:
            return None
        unit.done = True
        self.count -= unit.count
        self.bytes -= unit.size
        self.ahead += 1
        self._changes += 1
        if self.held:
            self.held.pop(unit.offset, None)
        if self._units[0] is unit:
            self._advance()
        else:
            unit.messages = ()  # It may lie here for as long as the one before it takes.
            if self.ahead >= self._merge_at:
                self._merge()
        key = unit.key
        if key is None or not self._ordered:
            return None
        lane = self._lanes.get(key)
        if lane:
            return lane.popleft()
        self._lanes.pop(key, None)
        return None

    def _advance(self) -> None:
        """Move on to the first event that isn't done (I1)."""
        units = self._units
        while units and units[0].done:
            self.safe = units.popleft().next_offset
            self.ahead -= 1

    def _merge(self) -> None:
        """Hold neighbours that are done as one, so that a long wait of the first costs no memory for each behind it."""
        merged: deque[Unit] = deque()
        for done, units in groupby(self._units, key=_is_done):
            if done:
                some = list(units)
                merged.append(self._done(some[0].offset, some[-1].next_offset))
                self.ahead -= len(some) - 1
            else:
                merged.extend(units)
        # Another deque rather than this one changed: the thread that commits may be looking at it.
        self._units = merged
        # Not before it is worth a walk through all of them again.
        self._merge_at = self.ahead + max(MERGE_UNITS, len(merged) // 4)

    def hold(self, held: Held) -> None:
        """An event waits for its next try (I6): the commit says so, and when."""
        if self.alive:
            self.held[held.offset] = held
            self._changes += 1

    def let_go(self, key: bytes) -> None:
        """Keep of the events that wait behind the first of a key only where they are."""
        for unit in reversed(self._lanes.get(key) or ()):
            if not unit.messages:
                break  # Those before it are gone already.
            unit.messages = ()
            self.stubs += 1
            self.count -= unit.count
            self.bytes -= unit.size

    def let_go_behind(self, unit: Unit, most: int) -> list[Unit]:
        """A unit that has left its lane, and those next in it that were let go as well; at most so many in all."""
        lane = self._lanes.get(unit.key or b"") or ()
        return [unit, *(each for each in islice(lane, most - 1) if not each.messages)]

    def take_back(self, unit: Unit, messages: Sequence[Message]) -> None:
        """The message of a unit that was let go is in hand again; none where the log has lost it."""
        unit.messages = messages
        self.stubs -= 1
        self.count += unit.count
        self.bytes += unit.size

    def split(self, unit: Unit) -> list[Unit]:
        """Put the single messages of a batch in its place, so that each can be done by itself.

        Returns:
            Those that may start now.
        """
        if not self.alive:
            return []
        singles = [_single(self, message, unit.key) for message in unit.messages]
        at = self._units.index(unit)
        units = list(self._units)
        # Another deque rather than this one changed: the thread that commits may be looking at it.
        self._units = deque([*units[:at], *singles, *units[at + 1 :]])
        if unit.key is None or not self._ordered:
            return singles
        lane = self._lanes.get(unit.key)
        self._lanes[unit.key] = deque([*singles[1:], *(lane or ())])
        return singles[:1]

    def close(self) -> None:
        """Start nothing more; what runs may finish."""
        self.open = False

    def lose(self) -> None:
        """The partition belongs to somebody else: nothing of it counts any more."""
        self.open = self.alive = False
        self._units.clear()
        self._lanes.clear()
        self._finished.clear()
        self.held.clear()
        self.count = self.bytes = self.ahead = self.stubs = 0

    @property
    def changed(self) -> bool:
        """Whether something was done, or put off, since the last commit."""
        return self.alive and self._changes != self._committed_changes

    @property
    def uncommitted(self) -> int:
        """How many events, or batches, were done or put off since the last commit."""
        return self._changes - self._committed_changes

    def progress(self, limit_bytes: int = LIMIT_BYTES) -> Progress | None:
        """What to commit; None where nothing was ever in hand. May be called from another thread.

        Args:
            limit_bytes: Most bytes of the metadata.
        """
        changes = self._changes
        # First the units: an event that is done from here on is before `safe`, and falls out below.
        units = tuple(self._units)
        offset = self.safe
        if offset is None:
            if not units:
                return None
            offset = units[0].offset
        done = done_beyond(offset, units, tuple(self._finished))
        # Read after the units: what is put off from here on comes with the next commit.
        held = [each for each in tuple(self.held.values()) if each.offset >= offset]
        return Progress(offset, to_metadata(offset, done, held, limit_bytes), changes)

    def committed(self, progress: Progress) -> None:
        """This much is committed."""
        self._committed_changes = progress.changes
