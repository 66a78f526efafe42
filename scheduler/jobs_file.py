"""The jobs' file of an instance: put into force at its start, and whenever its content changes."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scheduler.jobs.faults import JobsError
from scheduler.jobs.file import read_jobs
from scheduler.ticks.applying import changes, put_in_force, read_books
from tidemill.errors import TidemillError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.config import Settings
    from tidemill.contracts.catalogue import Catalogue

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 5.0
NAMED_IN_LOG = 20


class JobsFile:
    """A file that is watched.

    Args:
        path: Where it is.
        settings: Addresses, namespace.
        catalogue: The events that jobs may emit.
        by: Which instance this is.
    """

    def __init__(self, path: Path, settings: Settings, catalogue: Catalogue, by: str) -> None:
        self._path = path
        self._settings = settings
        self._catalogue = catalogue
        self._by = by
        self._content: bytes | None = None
        self._log = get_logger("scheduler").bind(file=str(path))

    def __str__(self) -> str:
        return str(self._path)

    def apply(self) -> None:
        """Put what the file says into force.

        Raises:
            JobsError: It can't be read, or says what makes no sense; everything stays as it is.
            BrokerError: It can't be written down.
        """
        now = datetime.now(UTC)
        self._content = self._read()
        jobs = read_jobs(self._path, self._catalogue, now)
        found = changes(read_books(self._settings).pages, jobs, now, self._by)
        put_in_force(self._settings, found)
        if len(found) <= NAMED_IN_LOG:
            for change in found:
                self._log.info("job", job=change.name, action=change.action)
        else:
            counts = Counter(change.action for change in found)
            self._log.info("jobs changed", count=len(found), actions=dict(counts))
        if not found:
            self._log.info("the schedule is in force already", jobs=len(jobs))

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None  # While an editor replaces it; where it stays away, `read_jobs` says so.

    def watch(self, stop: threading.Event) -> None:
        """Look at the file until told to stop; a fault in it is told, and what was in force stays so."""
        seconds = LOOK_SECONDS
        while not stop.wait(seconds):
            seconds = LOOK_SECONDS
            content = self._read()
            if content == self._content:
                continue
            if content is None:
                self._log.warning("the file is gone; the schedule stays in force")
                self._content = None
                continue
            try:
                self.apply()
            except JobsError as error:
                self._log.error("the schedule has faults; the one before stays in force", error=str(error))
            except TidemillError as error:
                self._log.error("the schedule can't be put into force, will try again", error=str(error))
                self._content, seconds = b"", AGAIN_SECONDS
