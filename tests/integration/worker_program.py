"""For tests of whole processes: `tidemill worker` or one worker process as a program, its log and its descendants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.integration.stream_samples import LEDGER
from tests.integration.working import wait_until
from tidemill.config import Settings
from tidemill.runtime.orders import Orders

ROOT = Path(__file__).parent.parent.parent


def environment(settings: Settings, folder: Path, **more: str) -> dict[str, str]:
    """The environment in which a program has these settings, and writes its ledger into a folder."""
    return {
        **os.environ,
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_GROUP_PROTOCOL": settings.group_protocol,
        "TIDEMILL_LOG_FORMAT": "json",
        "PYTHONPATH": str(ROOT),
        LEDGER: str(folder / "ledger"),
        **more,
    }


class Program:
    """A started program.

    Args:
        arguments: Its command line.
        variables: Its environment.
        folder: Where its output is kept.
    """

    def __init__(self, arguments: Sequence[str], variables: dict[str, str], folder: Path) -> None:
        self.output = folder / f"output-{len(list(folder.glob('output-*')))}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                arguments, env=variables, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def said(self) -> str:
        """All that it has written so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it and its descendants have logged so far."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{") and line.endswith("}")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Entries of one kind."""
        return [entry for entry in self.log if entry["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> None:
        """Wait until it has logged this so many times; fails where it ends before."""
        wait_until(
            lambda: len(self.logged(event)) >= count or self.process.poll() is not None, f"{count} x {event!r} logged"
        )
        assert len(self.logged(event)) >= count, f"ended with {self.process.returncode}:\n{self.said}"

    def descendants(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """Its worker processes, where it is a supervisor."""
        # Only children: a process that was just forked still has its parent's command line.
        children = psutil.Process(self.process.pid).children()
        return [each for each in children if "tidemill.runtime.process" in _command_line(each)]

    def end(self, signum: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(seconds)


@contextmanager
def program(arguments: Sequence[str], variables: dict[str, str], folder: Path) -> Iterator[Program]:
    """A program for the time of the block; at its end nothing of it is left, or the test fails."""
    started = Program(arguments, variables, folder)
    try:
        yield started
    finally:
        left = started.descendants() if started.process.poll() is None else []
        for process in left:
            process.kill()
        started.process.kill()
        started.process.wait()


def worker_process(settings: Settings, folder: Path, *streams: str, drain_seconds: float = 20.0, **more: str) -> Any:
    """One worker process without a supervisor, as a context manager."""
    # Should the tests be killed, it ends as it would without its supervisor.
    orders = Orders(list(streams), concurrency=None, drain_seconds=drain_seconds, supervisor_pid=os.getpid())
    arguments = [sys.executable, "-m", "tidemill.runtime.process", orders.to_argument()]
    return program(arguments, environment(settings, folder, **more), folder)


def tidemill_worker(settings: Settings, folder: Path, *arguments: str, **more: str) -> Any:
    """`tidemill worker ...`, as a context manager."""
    return program(
        [sys.executable, "-m", "tidemill", "worker", *arguments], environment(settings, folder, **more), folder
    )


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # or one that has ended and waits for its parent
        return []


def gone(processes: Sequence[psutil.Process], seconds: float = 20.0) -> None:
    """Wait until processes have ended; fails with their command lines where they don't."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    left = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not left, [process.cmdline() for process in left]


def ledger(folder: Path) -> list[list[str]]:
    """The lines of the ledger so far, split."""
    path = folder / "ledger"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def noted(folder: Path, kind: str) -> list[tuple[str, int]]:
    """Lane and number of the events of which the ledger says this, in order."""
    return [(line[1], int(line[2])) for line in ledger(folder) if line[0] == kind]
