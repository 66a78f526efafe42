"""Samples of a running storm, every half second: how far it is, what waits, how much memory the workers take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from tests.crash.storm.crew import Crew
from tests.crash.storm.ledgers import now_seconds
from tests.crash.storm.load import SteadyLoad
from tests.crash.storm.tally import Tally
from tests.crash.storm.waiting import Waiting

PERIOD_SECONDS = 0.5
MEMORY_EVERY = 4
"""Samples from one look at the memory to the next: adding up a process's pages costs some milliseconds."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one worker process takes.

    Args:
        worker: Its number.
        age_seconds: How long it has run.
        pss_mb: Its share of the machine's memory (proportional set size).
    """

    worker: int
    age_seconds: float
    pss_mb: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Args:
        time_seconds: When, as the ledgers' times.
        done: Events that handlers have finished.
        published: Events that are acknowledged.
        lag: Messages that the groups have not committed; None where the brokers didn't say.
        memory: By name of the worker's place; empty where it wasn't looked at.
    """

    time_seconds: float
    done: int
    published: int
    lag: int | None
    memory: dict[str, Memory]


class Sampling:
    """Takes samples for the time of the block.

    Args:
        crew, load, tally, waiting: What is looked at.
        show: Told of each sample.
    """

    def __init__(
        self, crew: Crew, load: SteadyLoad, tally: Tally, waiting: Waiting, show: Callable[[Sample], None]
    ) -> None:
        self._crew = crew
        self._load = load
        self._tally = tally
        self._waiting = waiting
        self._show = show
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm-samples")
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            memory = self._memory() if len(self.samples) % MEMORY_EVERY == 0 else {}
            sample = Sample(
                now_seconds(), self._tally.count_done(), self._load.acknowledged, self._waiting.latest, memory
            )
            self.samples.append(sample)
            self._show(sample)

    def _memory(self) -> dict[str, Memory]:
        found = {}
        for place in list(self._crew.places):
            try:
                worker = place.worker()
                if worker is not None:
                    age_seconds = time.time() - worker.create_time()
                    found[place.name] = Memory(worker.pid, age_seconds, worker.memory_full_info().pss / 1e6)
            except psutil.Error:
                continue  # It ended just now.
        return found
