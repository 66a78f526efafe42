"""The scheduler processes of the ticks' storm: each in a place of its own, where another starts after its end."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scheduler.topics import JOBS
from tests.crash.clock.ticks_outages import Owned
from tests.integration.worker_program import Program, environment
from tests.integration.working import wait_until
from tidemill.config import Settings

READY_SECONDS = 60.0
END_SECONDS = 30.0


class Place:
    """Where one scheduler runs at a time.

    Args:
        settings: What it is started with.
        arguments: What follows Python's own name in its command line.
        folder: For the output of all that have run here.
    """

    def __init__(self, settings: Settings, arguments: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        self._settings = settings
        self._arguments = [sys.executable, *arguments]
        self._folder = folder
        self.programs: list[Program] = []
        """All that have run here; the last one runs."""
        self.unasked: list[str] = []
        """Those that ended without being told to."""

    def start(self) -> None:
        """Start a scheduler; it isn't ready yet on return."""
        variables = environment(self._settings, self._folder, TIDEMILL_LOG_LEVEL="info")
        self.programs.append(Program(self._arguments, variables, self._folder))

    @property
    def program(self) -> Program:
        """The one that runs."""
        return self.programs[-1]

    @property
    def name(self) -> str:
        """How ticks name the one that runs."""
        return instance(self.program)

    def until_ready(self) -> None:
        """Wait until it is a member of the group; one that has ended by itself is started anew, and told of."""
        wait_until(self._is_ready, f"the scheduler in {self._folder.name} is ready", READY_SECONDS)

    def _is_ready(self) -> bool:
        status = self.program.process.poll()
        if status is not None:
            self.unasked.append(f"{self.name} ended by itself with status {status}: {self.program.said[-600:]}")
            self.start()
        return bool(self.program.logged("ready"))

    def send(self, signum: signal.Signals) -> None:
        """Send the running one a signal."""
        self.program.process.send_signal(signum)

    def end(self, signum: signal.Signals) -> int:
        """End the running one; returns its exit status."""
        self.send(signum)
        return self.program.process.wait(END_SECONDS)


class Schedulers:
    """Some places, each with a scheduler, for the time of the block.

    Args:
        settings: What schedulers are started with.
        arguments: What follows Python's own name in their command lines.
        folder: For their output.
        count: How many.
    """

    def __init__(self, settings: Settings, arguments: Sequence[str], folder: Path, count: int = 2) -> None:
        self.places = [Place(settings, arguments, folder / f"scheduler-{number}") for number in range(count)]

    def __enter__(self) -> Self:
        try:
            for place in self.places:
                place.start()
            for place in self.places:
                place.until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for place in self.places:
            for program in place.programs:
                program.process.kill()  # A paused one, too.
                program.process.wait()

    @property
    def programs(self) -> list[Program]:
        """All that have run."""
        return [program for place in self.places for program in place.programs]

    @property
    def unasked(self) -> list[str]:
        """Schedulers that ended without being told to."""
        return [line for place in self.places for line in place.unasked]

    def owned(self) -> list[Owned]:
        """Who has taken which partition of the books over, by the time."""
        found = [
            Owned(instance(program), int(entry["partition"]), moment_of(entry), float(entry["seconds"]))
            for program in self.programs
            for entry in program.logged("owns the partition")
            if entry["topic"].endswith(JOBS.name)
        ]
        return sorted(found, key=lambda owned: owned.at)

    def admissions(self, name: str, since_seconds: float, until_seconds: float) -> list[str]:
        """What an instance has logged of being fenced, or of having lost its partitions, in a stretch of time."""
        return [
            str(entry["event"])
            for program in self.programs
            if instance(program) == name
            for entry in program.log
            if since_seconds <= moment_of(entry) <= until_seconds and str(entry["event"]).startswith(("fenced", "lost"))
        ]


def instance(program: Program) -> str:
    """How ticks name a scheduler's process."""
    return f"{socket.gethostname()}:{program.process.pid}"


def moment_of(entry: dict[str, Any]) -> float:
    """When something was logged, seconds since 1970."""
    return datetime.fromisoformat(entry["timestamp"]).timestamp()
