"""A tracker at work in a test: in a thread, or in a process that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from consumers.status.lag import lag
from consumers.status.tracker import Tracker
from tests.integration.commands import command_environment
from tests.integration.working import WAIT_SECONDS, wait_until
from tidemill.config import Settings
from tidemill.jobs.database import Database

PROGRAM = """
from consumers.status.command import register
import typer
app = typer.Typer()
register(app)
app(["tracker"])
"""


@contextmanager
def tracking(settings: Settings) -> Iterator[Tracker]:
    """A tracker for the time of the block, that has its partitions."""
    ready = threading.Event()
    tracker = Tracker(settings, on_ready=ready.set)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            tracker.run()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    thread = threading.Thread(target=run, name="tracker")
    thread.start()
    try:
        wait_until(lambda: ready.is_set() or failures, "the tracker has its partitions")
        yield tracker
    finally:
        tracker.stop()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert failures == []


@contextmanager
def tracker_process(settings: Settings, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program; killed at the end, if the test hasn't."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **command_environment(settings), "TIDEMILL_LOG_FORMAT": "json", **environment},
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_folded(settings: Settings) -> None:
    """Wait until the table knows all that is in the topics."""
    database = Database(settings)
    try:
        wait_until(lambda: database.exists and lag(settings, database) == 0, "the tracker has caught up")
    finally:
        database.close()
