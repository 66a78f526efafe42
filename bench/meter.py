"""Counts events in a measured program so that another one can watch: a small memory-mapped file per process.

Standard library only, since programs of every virtual environment count with it. A tick costs 0.1 µs and no system
call, so that the counting isn't what is measured. Must not be used from several threads; `ThreadedMeter` may.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COUNT, FIRST, DELAYS = 0, 1, 2
"""Where in the file, in words of 8 bytes: events, monotonic time of the first, seconds that each was under way."""
WORD_BYTES = 8


class Meter:
    """Counts the events of this process into a file of the folder `BENCH_METER`; without it, counts nothing.

    `BENCH_COUNT` in the environment says how many delays there is room for. A forked child gets a file of its own.
    """

    def __init__(self) -> None:
        self._folder = os.environ.get("BENCH_METER", "")
        self._room = int(os.environ.get("BENCH_COUNT", "0"))
        self._counts: memoryview[int] | None = None
        self._times: memoryview[float] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def tick(self, count: int = 1) -> None:
        """Count events."""
        counts = self._counts
        if counts is None:
            counts = self._open()
        counts[COUNT] += count

    def late(self, sent: float) -> None:
        """Count an event and how long it was under way.

        Args:
            sent: When it was published, seconds since 1970.
        """
        delay_seconds = time.time() - sent
        counts = self._open() if self._counts is None else self._counts
        number = counts[COUNT]
        if self._times is not None and number < self._room:
            self._times[DELAYS + number] = delay_seconds
        counts[COUNT] = number + 1

    def _open(self) -> memoryview[int]:
        size = (DELAYS + self._room) * WORD_BYTES
        if self._folder:
            unfinished = Path(self._folder, f"{os.getpid()}.part")
            with unfinished.open("wb+") as file:
                file.truncate(size)
                mapped = mmap.mmap(file.fileno(), size)
        else:
            mapped = mmap.mmap(-1, size)
        times = memoryview(mapped).cast("d")
        times[FIRST] = time.monotonic()
        self._times = times
        self._counts = memoryview(mapped).cast("q")
        if self._folder:
            unfinished.rename(unfinished.with_suffix(".meter"))
        return self._counts

    def _forget(self) -> None:
        self._counts = self._times = None


class ThreadedMeter(Meter):
    """The same for handlers that run in several threads of a process."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def tick(self, count: int = 1) -> None:
        """Count events."""
        with self._lock:
            super().tick(count)

    def late(self, sent: float) -> None:
        """Count an event and how long it was under way."""
        with self._lock:
            super().late(sent)


@dataclass(frozen=True)
class Reading:
    """What all processes of a folder have counted so far."""

    count: int
    first_at: float | None
    """Monotonic time of the first event of all; None before it."""
    counts: Mapping[str, int]
    """By process, that is by name of its file."""


def read(folder: Path) -> Reading:
    """Look at the meters of a folder."""
    counts: dict[str, int] = {}
    firsts = []
    for path in folder.glob("*.meter"):
        with path.open("rb") as file:
            words = memoryview(file.read(DELAYS * WORD_BYTES))
        counts[path.name] = words.cast("q")[COUNT]
        firsts.append(words.cast("d")[FIRST])
    return Reading(sum(counts.values()), min(firsts, default=None), counts)


def read_delays(folder: Path, *, after: Mapping[str, int]) -> list[float]:
    """The delays that all processes of a folder have noted, in seconds; events that were only counted have none.

    Args:
        folder: Where the meters are.
        after: How many of each process to leave out, as `Reading.counts` told earlier.
    """
    delays: list[float] = []
    for path in folder.glob("*.meter"):
        words = memoryview(path.read_bytes())
        count = words.cast("q")[COUNT]
        delays += words.cast("d")[DELAYS + after.get(path.name, 0) : DELAYS + count].tolist()
    return [delay for delay in delays if delay]
