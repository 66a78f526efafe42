"""What `schedule.delayed` says at present, to whoever only looks: what waits, and what has become of an event.

Reads the topic itself and so needs no scheduler. Changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.delays.duty import waiting
from scheduler.delays.requests import Outcome, is_request, read_outcome
from scheduler.delays.waiting import Waiting, WaitingRoom
from scheduler.log import Progress, partitions_of, read_log
from tidemill import delayed
from tidemill.errors import DecodeError
from tidemill.event import headers_of
from tidemill.partitioning import partition_of

if TYPE_CHECKING:
    from tidemill.config import Settings


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no delayed event, and not followed by one of its key."""

    partition: int
    offset: int
    reason: str


@dataclass(slots=True)
class Record:
    """What waits, on all partitions."""

    rooms: list[WaitingRoom]
    unreadable: dict[tuple[int, bytes | None], Unreadable] = field(default_factory=dict)
    """By partition and key."""
    unanswered: set[bytes] = field(default_factory=set)
    """Keys of requests that nobody has answered."""

    def soonest(self, *, topic: str | None = None, before_us: int | None = None) -> Iterator[Waiting]:
        """As `WaitingRoom.soonest`, of all partitions."""
        each = [room.soonest(topic=topic, before_us=before_us) for room in self.rooms]
        return heapq.merge(*each, key=lambda event: event.due_us)

    def count(self, *, topic: str | None = None, before_us: int | None = None) -> int:
        """How many `soonest` would give."""
        return sum(room.count(topic=topic, before_us=before_us) for room in self.rooms)


@contextmanager
def read_record(
    settings: Settings, *, folder: Path | None = None, progress: Progress | None = None
) -> Iterator[Record]:
    """What waits now; without the values.

    Args:
        settings: Addresses, namespace.
        folder: For files that last as long as the block; None takes the system's folder for temporary files.
        progress: Told now and then how far it is.

    Raises:
        UnknownTopic: `schedule.delayed` doesn't exist.
        BrokerError: It can't be read.
        ConfigError: The folder can't be written to.
    """
    with ExitStack() as ends:
        record = Record([])
        for _ in range(partitions_of(settings, delayed.TOPIC)):
            room = WaitingRoom(folder)
            ends.callback(room.close)
            record.rooms.append(room)
        for message in read_log(settings, delayed.TOPIC, progress=progress):
            key, partition = message.key(), message.partition() or 0
            record.unreadable.pop((partition, key), None)
            if key is not None and message.value() is None:
                record.unanswered.discard(key)
                record.rooms[partition].drop(key)
            elif key is not None and is_request(key):
                record.unanswered.add(key)
            else:
                try:
                    if key is None:
                        raise DecodeError("A delayed event needs a key, its id; found none.")
                    record.rooms[partition].put(waiting(message, with_value=False))
                except DecodeError as error:
                    found = Unreadable(partition, message.offset() or 0, error.message)
                    record.unreadable[partition, key] = found
        yield record


def partition_for(settings: Settings, event_id: str) -> int:
    """The partition of `schedule.delayed` in which an event waits.

    Raises:
        UnknownTopic: The topic doesn't exist.
    """
    return partition_of(event_id.encode(), partitions_of(settings, delayed.TOPIC))


def look_up(
    settings: Settings, event_id: str, *, progress: Progress | None = None
) -> tuple[int, Waiting] | Outcome | None:
    """An event that waits, or what has become of it.

    Args:
        settings: Addresses, namespace.
        event_id: Its id.
        progress: Told now and then how far it is.

    Returns:
        Its partition and itself; or its end; or None, where the topic knows nothing of it: it never waited, or ended
        more than a day ago.

    Raises:
        UnknownTopic, BrokerError: As `read_record`.
    """
    partition, wanted = partition_for(settings, event_id), event_id.encode()
    found: tuple[int, Waiting] | Outcome | None = None
    for message in read_log(settings, delayed.TOPIC, [partition], progress=progress):
        if message.key() == wanted:
            if message.value() is None:
                found = read_outcome(dict(headers_of(message)))
                continue
            try:
                found = partition, waiting(message)
            except DecodeError:
                # The scheduler skips such a record, too: what was known of the event before still holds.
                continue
    return found
