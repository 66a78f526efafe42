"""Archivers that begin in milliseconds: forked off a process that has all modules loaded and does nothing else.

On a busy machine a program would be killed before it has begun, and a storm would show nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class Programs:
    """Starts `tidemill archive ...`, each in a process of its own.

    Args:
        environment: Theirs.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._source = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.archive_programs"],
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, *arguments: str) -> int:
        """Start one; its process id."""
        assert self._source.stdin is not None
        assert self._source.stdout is not None
        self._source.stdin.write(json.dumps(arguments) + "\n")
        self._source.stdin.flush()
        return int(self._source.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._source.stdin is not None
        assert self._source.stdout is not None
        self._source.stdin.close()
        self._source.wait(60)
        self._source.stdout.close()


def is_alive(pid: int) -> bool:
    """Whether a program runs, or stands still."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pid: int, seconds: float) -> bool:
    """Whether a program ends within some time."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _serve() -> None:
    import tidemill.replay.scan
    import tidemill.telemetry  # noqa: F401 - that the programs find it loaded
    from consumers.archive.command import app

    # The kernel takes away who has ended: a process id that answers is one that runs.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(os.open(os.environ.get("ARCHIVE_STORM_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT), 1)
            os.dup2(1, 2)
            app(json.loads(line), prog_name="tidemill archive")
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
