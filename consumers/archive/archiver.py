"""The program: pass after pass over all its topics, beside other archivers that may do the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from consumers.archive.committing import Outrun
from consumers.archive.lease import Lease
from consumers.archive.reading import Waiting, waiting
from consumers.archive.scratch import scratch
from consumers.archive.taking import Pass, Progress, Taken
from consumers.archive.topics import topics_there
from tidemill.errors import ConfigError, StoreError, TidemillError
from tidemill.replay.lake import INNER, Lake, State
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from consumers.archive.settings import ArchiveSettings
    from tidemill.config import Settings

ASK_SECONDS = 0.5
"""How often it is asked for a lease that somebody has."""


@dataclass
class Round:
    """What came of one pass over each topic."""

    taken: list[Taken] = field(default_factory=list)
    failed: dict[str, TidemillError] = field(default_factory=dict)
    """By topic, what was wrong; it is tried again in the next round."""
    held: dict[str, str] = field(default_factory=dict)
    """By topic, which archiver has it."""


class Archiver:
    """Archives topics.

    Args:
        settings: Addresses, namespace, and where the archive is.
        archive: Sizes and times.
        topics: Their names without the namespace; None for all that are known.
    """

    def __init__(self, settings: Settings, archive: ArchiveSettings, topics: Sequence[str] | None) -> None:
        self._settings, self._archive, self._topics = settings, archive, topics
        self.lake = Lake.from_settings(settings)
        self._stop = threading.Event()
        self._states: dict[str, State] = {}
        self._leases: dict[str, Lease] = {}
        self._log = get_logger("archive")

    def stop(self) -> None:
        """End soon: what was read is committed first."""
        self._stop.set()

    def names(self) -> list[str]:
        """The topics, without the namespace.

        Raises:
            UnknownTopic, BrokerError: One that was named doesn't exist; the cluster can't be asked.
        """
        return topics_there(self._settings, self._topics)

    def look(self) -> list[Waiting]:
        """What waits of each topic.

        Raises:
            TidemillError: Kafka or the store can't be asked.
        """
        return [waiting(self._settings, name, self.lake.state(self._settings.qualified(name))) for name in self.names()]

    def run(self, every_seconds: float) -> None:
        """Round after round, until `stop`.

        Args:
            every_seconds: From the beginning of one round to that of the next.
        """
        self._log.info("archiving", archive=self.lake.url, every_seconds=every_seconds)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                done = self.once(patient=False)
            except TidemillError as error:
                self._log.error("a round failed", error=str(error))
            else:
                for topic, failure in done.failed.items():
                    self._log.error("a topic couldn't be archived; it is tried again", topic=topic, error=str(failure))
            self._stop.wait(max(0.0, began + every_seconds - time.monotonic()))

    def once(self, progress: Progress | None = None, *, patient: bool = True) -> Round:
        """One pass over each topic.

        Args:
            progress: Told after each some thousand events.
            patient: Wait for a topic that another archiver is at, however long that takes; else only until it is clear
                that the other one lives.

        Raises:
            TidemillError: Nothing could be begun.
        """
        done, left = Round(), self.names()
        patience = time.monotonic() + self._archive.lease_seconds + 2 * ASK_SECONDS
        folder = self._archive.scratch_dir or self._settings.state_dir / "archive"
        with scratch(folder) as own:
            while left and not self._stop.is_set():
                left = [topic for topic in left if not self._attempt(topic, own, done, progress)]
                if left and not patient and time.monotonic() > patience:
                    break
                if left:
                    self._stop.wait(ASK_SECONDS)
        return done

    def _attempt(self, topic: str, folder: Path, done: Round, progress: Progress | None) -> bool:
        """Try to archive a topic; False where it is to be tried again in this round."""
        if self._stop.is_set():
            return True
        full_name = self._settings.qualified(topic)
        try:
            if self._is_idle(topic, full_name):
                done.taken.append(Taken(topic))
                return True
            lease = self._leases.setdefault(topic, Lease(self.lake.store, full_name, self._archive.lease_seconds))
            holder = lease.take()
            if holder is not None:
                done.held[topic] = holder.holder
                return False
            done.held.pop(topic, None)
            try:
                # Read now: whoever had the lease before has written his last entry, or will fail to.
                state = self._states.pop(full_name, State())
                state = self.lake.state(full_name, state if state.sequence else None)
                done.taken.append(
                    Pass(self._settings, self._archive, self.lake, topic, folder, self._stop).run(
                        state, lease, progress
                    )
                )
                self._states[full_name] = state
            finally:
                self._give_back(lease)
        except Outrun:
            self._log.warning("another archiver was faster, nothing of this pass counts", topic=topic)
            return False
        except TidemillError as error:
            done.failed[topic] = error
        except OSError as error:
            done.failed[topic] = ConfigError(
                f"Files can't be written in {folder}: {error.strerror or error}.",
                hint="Look whether the disk is full, or set TIDEMILL_ARCHIVE_SCRATCH_DIR.",
            )
        return True

    def _is_idle(self, topic: str, full_name: str) -> bool:
        """Whether nothing is to be done for a topic, found out without its lease."""
        known = self._states.pop(full_name, None)
        state = self.lake.state(full_name, known)
        self._states[full_name] = state
        if not waiting(self._settings, topic, state).is_empty:
            return False
        return next(self.lake.store.list(f"{INNER}/staged/{full_name}"), None) is None

    def _give_back(self, lease: Lease) -> None:
        try:
            lease.give_back()
        except StoreError as error:
            self._log.warning("the lease couldn't be given back; it ends by itself", error=str(error))
