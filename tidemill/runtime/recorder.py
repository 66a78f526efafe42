"""The flight recorder: which events were in work when a process died, for the process that takes its place.

The supervisor makes it, a worker process writes into it, and the supervisor reads it after that one's death: memory of
a file that both have open, so that even SIGKILL leaves it readable. An event that is in work at one death after another
is found out by running it alone, and becomes a dead letter instead of killing workers for ever. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.runtime.partition import Unit

_ENTRY = Struct("<IIqq")
"""Number of the stream from 1 (0: nothing in work), partition, first offset, count of offsets."""
PLACES = 4096
"""Units in work at once that are recorded; those beyond aren't."""
ALONE_FROM_DEATHS = 2
"""An event that was in work at so many deaths is run while nothing else runs in its process."""
MOST_DEATHS = 3
"""An event that was in work at so many deaths, at the last one alone, is not run again."""


@dataclass(frozen=True)
class Suspect:
    """Events that were in work when their process died.

    Args:
        stream: Number of their stream among those of the worker, from 1.
        partition: Their partition.
        offset: The first of their offsets.
        count: How many offsets: more than one for a batch.
        deaths: At how many deaths in a row.
    """

    stream: int
    partition: int
    offset: int
    count: int
    deaths: int = 1

    def covers(self, other: Suspect) -> bool:
        """Whether another's first event is one of these."""
        return (
            self.stream == other.stream
            and self.partition == other.partition
            and self.offset <= other.offset < self.offset + self.count
        )


def make_recorder() -> int:
    """An empty recorder; returns its file descriptor."""
    if hasattr(os, "memfd_create"):  # In memory: a full disk would end a worker that writes (SIGBUS).
        descriptor = os.memfd_create("tidemill-recorder")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, _ENTRY.size * PLACES)
    return descriptor


def read_recorder(descriptor: int) -> list[Suspect]:
    """What was in work, as the process that is gone has left it."""
    written = os.pread(descriptor, _ENTRY.size * PLACES, 0)
    return [Suspect(*entry) for entry in _ENTRY.iter_unpack(written) if entry[0]]


def suspected(known: Sequence[Suspect], in_work: Sequence[Suspect]) -> list[Suspect]:
    """The suspects after another death.

    Args:
        known: Those of the deaths before.
        in_work: What was in work this time.
    """
    found = []
    for each in in_work:
        deaths = 1 + max((before.deaths for before in known if before.covers(each)), default=0)
        found.append(Suspect(each.stream, each.partition, each.offset, each.count, deaths))
    left = [before for before in known if not any(before.covers(each) or each.covers(before) for each in found)]
    return found + left


class Recorder:
    """The recorder as a worker process writes it.

    Args:
        descriptor: Of `make_recorder`, inherited.
    """

    def __init__(self, descriptor: int) -> None:
        self.memory = mmap.mmap(descriptor, _ENTRY.size * PLACES)
        os.close(descriptor)
        self.free = list(range(_ENTRY.size, _ENTRY.size * PLACES, _ENTRY.size))
        """Places that nobody has; the first one is for all who come when the others are taken."""

    def clear_all(self) -> None:
        """Nothing is in work: what runs is not to blame for the end that follows."""
        self.memory[:] = bytes(len(self.memory))

    def of_stream(self, number: int) -> StreamRecorder:
        """As one stream writes it.

        Args:
            number: The stream's among those of the process, from 1.
        """
        return StreamRecorder(self, number)


class StreamRecorder:
    """The recorder as one stream writes it: a place for each unit that can be in work at once."""

    def __init__(self, recorder: Recorder, number: int) -> None:
        self._memory, self._free, self._number = recorder.memory, recorder.free, number

    def take_place(self) -> int:
        """A place for one unit at a time."""
        return self._free.pop() if self._free else 0

    def give_back(self, place: int) -> None:
        """Nothing is in work there, and somebody else may have the place."""
        self.clear(place)
        if place:
            self._free.append(place)

    def note(self, place: int, unit: Unit) -> None:
        """This is in work now, in place of what was there."""
        offset = unit.offset
        _ENTRY.pack_into(self._memory, place, self._number, unit.part.mark, offset, unit.next_offset - offset)

    def clear(self, place: int) -> None:
        """Nothing is in work there."""
        _ENTRY.pack_into(self._memory, place, 0, 0, 0, 0)
