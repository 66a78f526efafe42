"""The crew: the workers of a storm, each a supervisor with one worker process, that can become more and fewer.

Places are numbered from 0; a place keeps its name and folder when another program takes it. A supervisor that ends by
itself stays where it is: that nobody has to start a worker again by hand is one of the promises.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.crash.storm.ledgers import HANDLERS_LEDGER
from tests.integration.worker_program import Program, environment, gone
from tidemill.config import Settings

DRAIN_SECONDS = 20.0


@dataclass
class Place:
    """One running supervisor.

    Args:
        name: As the report calls it, e.g. `worker-0`.
        program: The supervisor; `.workers()` are its worker processes.
    """

    name: str
    program: Program

    def worker(self) -> psutil.Process | None:
        """Its worker process; None while the supervisor is about to start another."""
        return next(iter(self.program.workers()), None)

    def times_ready(self) -> int:
        """How many worker processes of this supervisor have begun to consume."""
        return len(self.program.logged("ready"))


@dataclass
class Crew:
    """All workers of a storm; as a context manager, nothing of them is left at the end of the block.

    Args:
        settings: Theirs.
        streams: What they run, as `module:attribute`.
        ledger: File of the handlers' ledger.
        folder: Where each place keeps its output.
        variables: Added to the environment of workers that are started from then on.
    """

    settings: Settings
    streams: tuple[str, ...]
    ledger: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    statuses: list[tuple[str, int]] = field(default_factory=list)
    """Name and exit status of every supervisor that was told to end."""

    def scale(self, count: int) -> None:
        """Let so many run: new ones are ready on return, superfluous ones (the last) have drained."""
        while len(self.places) > count:
            place = self.places.pop()
            self._end(place)
        started = [self._start(f"worker-{number}") for number in range(len(self.places), count)]
        self.places += started
        for place in started:
            place.program.wait_for("ready")

    def replace(self, number: int) -> None:
        """End one in good order and start another in its place; returns when that one is ready."""
        name = self.places[number].name
        self._end(self.places[number])
        self.places[number] = self._start(name)
        self.places[number].program.wait_for("ready")

    def fallen(self) -> list[str]:
        """What is wrong with supervisors: those that ended by themselves, and bad exit statuses of the others."""
        ended = [
            f"{place.name} ended by itself with status {place.program.process.returncode}"
            for place in self.places
            if place.program.process.poll() is not None
        ]
        return ended + [f"{name} ended with status {status}" for name, status in self.statuses if status != 0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for place in self.places:
            supervisor = place.program.process
            left = place.program.descendants() if supervisor.poll() is None else []
            # First the supervisor, which would start others.
            supervisor.kill()
            supervisor.wait()
            for process in left:
                process.kill()
            gone(left)
        self.places.clear()

    def _start(self, name: str) -> Place:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        arguments = ["worker", *self.streams, "--drain-seconds", f"{DRAIN_SECONDS:g}"]
        variables = {HANDLERS_LEDGER: str(self.ledger)} | self.variables
        return Place(
            name,
            Program(
                [sys.executable, "-m", "tidemill", *arguments],
                environment(self.settings, folder, **variables),
                folder,
            ),
        )

    def _end(self, place: Place) -> None:
        # It ends by itself within the deadline that it gives its process, and five seconds.
        self.statuses.append((place.name, place.program.end(signal.SIGTERM, DRAIN_SECONDS + 10)))
