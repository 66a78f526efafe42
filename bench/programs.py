"""Starting what is measured in processes of its own, watching it from outside, and ending it with all its children."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import meter

ROOT = Path(__file__).parents[1]
LOOK_SECONDS = 0.005


class TooSlow(RuntimeError):
    """A program runs, but hasn't done in time what it should have."""


class Program:
    """A running program and its children.

    Args:
        process: The program.
        folder: Where its meters are, and what it may write.
        output: What it has said.
        started_at: Monotonic time just before it was started.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, output: Path, started_at: float) -> None:
        self.folder = folder
        self.started_at = started_at
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def tree(self) -> list[psutil.Process]:
        """It and all its descendants."""
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0.0
        for process in self.tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def pss_bytes(self) -> int:
        """Memory of all its processes; what they share is counted once (proportional set size)."""
        total = 0
        for process in self.tree():
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total

    def reading(self) -> meter.Reading:
        """What its handlers have counted."""
        return meter.read(self.folder)

    def wait_until(self, reached: Callable[[meter.Reading], bool], most_seconds: float) -> meter.Reading:
        """Look until its meters are where they should be.

        Args:
            reached: Whether they are.
            most_seconds: How long it may take.

        Raises:
            TooSlow: It took longer.
            RuntimeError: It ended; with the end of its output.
        """
        deadline = time.monotonic() + most_seconds
        while not reached(reading := self.reading()):
            self.require_alive()
            if time.monotonic() > deadline:
                raise TooSlow(
                    f"{self._command} has handled only {reading.count} events in {most_seconds:g} s:\n{self._tail()}"
                )
            time.sleep(LOOK_SECONDS)
        return reading

    def require_alive(self) -> None:
        """Nothing, while it runs.

        Raises:
            RuntimeError: It has ended; with the end of its output.
        """
        if (status := self._process.poll()) is not None:
            raise RuntimeError(f"{self._command} ended with {status}:\n{self._tail()}")

    def wait(self, most_seconds: float) -> str:
        """Wait for its end; returns what it wrote on standard output.

        Raises:
            RuntimeError: It failed or took longer; with the end of its output.
        """
        try:
            status = self._process.wait(most_seconds)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{self._command} isn't through after {most_seconds:g} s:\n{self._tail()}") from error
        if status != 0:
            raise RuntimeError(f"{self._command} ended with {status}:\n{self._tail()}")
        return self.output()

    def output(self) -> str:
        """What it has said so far, on standard output and standard error."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def _command(self) -> str:
        return " ".join(map(str, self._process.args)) if isinstance(self._process.args, list) else str(self.pid)

    def _tail(self) -> str:
        return self.output()[-4000:]


@contextmanager
def running(
    arguments: Sequence[str | Path], variables: Mapping[str, str], *, before: Callable[[], None] | None = None
) -> Iterator[Program]:
    """A program for the time of the block, then killed with all its children: nothing it has to say is still wanted.

    Args:
        arguments: Its command line.
        variables: Its environment; `BENCH_METER` and `BENCH_FOLDER` are added, a temporary folder.
        before: Called in the new process before the program.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        output = folder / "output.log"
        with output.open("wb") as log:
            started_at = time.monotonic()
            process = subprocess.Popen(
                list(arguments),
                env={**variables, "BENCH_METER": name, "BENCH_FOLDER": name},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                preexec_fn=before,
            )
        program = Program(process, folder, output, started_at)
        try:
            yield program
        finally:
            _kill(program, process)


def _kill(program: Program, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        family = program.tree()
        for each in family:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=10)
    process.wait(10)
