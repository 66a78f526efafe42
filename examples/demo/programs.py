"""Programs for the time of a demo, started as a person would: `tidemill worker image`, `tidemill scheduler`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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
    with running_program(settings, log, arguments) as process:
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
    with running_program(settings, log, ["scheduler"]) as process:
        yield process


@contextmanager
def running_program(
    settings: Settings, log: Path, arguments: Sequence[str], more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `tidemill` with some arguments.

    Args:
        settings: Addresses and folders, handed on as environment variables.
        log: Its output.
        arguments: What a person would type after `tidemill`.
        more: Further environment variables.

    Yields:
        Its process.
    """
    environment = {
        **os.environ,
        **(more or {}),
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
