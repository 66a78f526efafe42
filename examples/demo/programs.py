"""Programs for the time of a demo, started as a person would: `tidemill worker image`, `tidemill scheduler`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tidemill.config import Settings

STOP_SECONDS = 30.0


@contextmanager
def running_workers(settings: Settings, log: Path, *, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run workers of the image stream, each with one processor's worth of work at once.

    Args:
        settings: Addresses and folders, handed on as environment variables.
        log: Their output.
        processes: How many.

    Yields:
        The supervisor's process.
    """
    arguments = ["worker", "image", "--processes", str(processes), "--concurrency", "1", "--drain-seconds", "10"]
    with _running(settings, log, arguments) as process:
        yield process


@contextmanager
def running_scheduler(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a scheduler, which emits what is in force.

    Args:
        settings: Addresses and folders, handed on as environment variables.
        log: Its output.

    Yields:
        Its process.
    """
    with _running(settings, log, ["scheduler"]) as process:
        yield process


@contextmanager
def _running(settings: Settings, log: Path, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_NAMESPACE": settings.namespace,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidemill", *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
