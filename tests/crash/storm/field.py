"""The field of a storm: what a nemesis may touch, and what a nemesis is.

Relies on nothing of the storm's own course, so that a nemesis can be tried by itself in a test. An act must leave the
field as it found it: it blocks until what it broke is healed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

import psutil

from tests.crash.storm.acts import How, Victim
from tests.crash.storm.crew import Crew
from tests.crash.storm.ledgers import now_seconds
from tests.crash.storm.tally import Tally
from tests.integration.worker_program import Program
from tidemill.config import Settings
from tidemill.local import Stack


class Load(Protocol):
    """What publishes events while the storm goes on."""

    def publish_one(self, stream: str, note: str) -> str:
        """Publish one event out of turn, into a lane among the others; returns its id."""


@dataclass
class Ground:
    """What can be changed before the brokers are started.

    Args:
        folder: An empty folder, for files of any kind.
        settings: Settings with which the stack is started; its `state_dir` doesn't exist yet.
        kafka_settings: Further settings of all brokers.
    """

    folder: Path
    settings: Settings
    kafka_settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Field:
    """What a nemesis may touch.

    Args:
        settings: Addresses, namespace and protocol; the publisher's and the checker's.
        stack: Three brokers, and the registry.
        crew: The workers. `crew.variables` is added to the environment of those started from then on, where a key of
            settings (TIDEMILL_BOOTSTRAP_SERVERS, ...) wins over `settings`.
        load: What publishes.
        tally: What the handlers have done so far.
        folder: An empty folder, for files of any kind.
        note: Tells a line to whoever watches.
    """

    settings: Settings
    stack: Stack
    crew: Crew
    load: Load
    tally: Tally
    folder: Path
    note: Callable[[str], None] = print
    victims: list[Victim] = field(default_factory=list)

    @property
    def workers(self) -> list[Program]:
        """The running supervisors; `.workers()` of one are its worker processes."""
        return [place.program for place in self.crew.places]

    def all_at_work(self) -> bool:
        """Whether each worker process that should be there is, and has begun an event."""
        workers = [worker.pid for program in self.workers for worker in program.workers()]
        return len(workers) == len(self.crew.places) and self.tally.workers().issuperset(workers)

    def scale(self, count: int) -> None:
        """Let so many workers run, each ready; superfluous ones are drained."""
        self.crew.scale(count)

    def is_struck(self, worker: psutil.Process, how: How) -> None:
        """To be called right before a worker process is killed, paused or told to stop: the checker looks at these."""
        self.victims.append(Victim(now_seconds(), worker.pid, how))


@dataclass(frozen=True)
class Nemesis:
    """One way to break something.

    Args:
        name: Short, in lower case, e.g. `kill-worker`.
        weight: How often it comes up beside the others: once in a round of all of them is 1.
        act: Breaks it and heals it; returns what was done to what. All that it chooses comes from its second argument.
        most_stall_seconds: Longest time without any finished event that is promised while it acts; None where nothing
            is promised.
        before: Entered before the brokers start (mounts, addresses), left after their end.
        around: Entered once the brokers are up, before the first worker starts (proxies, further variables).
    """

    name: str
    weight: int
    act: Callable[[Field, Random], str]
    most_stall_seconds: float | None = 5.0
    before: Callable[[Ground], AbstractContextManager[None]] | None = None
    around: Callable[[Field], AbstractContextManager[None]] | None = None
