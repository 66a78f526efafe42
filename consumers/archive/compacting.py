"""The compactions of many topics: whose turn it is, and that each is let alone while an archiver is at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from consumers.archive.committing import Outrun
from consumers.archive.compaction import Bundle, Compaction, bundles
from consumers.archive.lease import Lease
from consumers.archive.scratch import scratch
from consumers.archive.status import archived_topics
from tidemill.errors import ArchiveError
from tidemill.replay.lake import Lake

if TYPE_CHECKING:
    from consumers.archive.settings import ArchiveSettings
    from consumers.archive.taking import Progress
    from tidemill.config import Settings
    from tidemill.replay.lake import State

ASK_SECONDS = 0.2
TURN_SECONDS = 30.0
"""Then the topic is an archiver's for a moment: new events don't wait until all is put together."""
PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Compacted:
    """What was put together of a topic, or would be."""

    topic: str
    bundles: int
    files: int
    size_bytes: int


class Compactor:
    """Puts small files together.

    Args:
        settings: Addresses, namespace, and where the archive is.
        archive: Sizes and times.
        topics: Without the namespace; None for all that are archived.
    """

    def __init__(self, settings: Settings, archive: ArchiveSettings, topics: Sequence[str] | None) -> None:
        self._settings, self._archive, self._topics = settings, archive, topics
        self._lake = Lake.from_settings(settings)
        self._stop = threading.Event()

    def stop(self) -> None:
        """End after the bundle that is under way."""
        self._stop.set()

    def look(self) -> list[Compacted]:
        """What would be put together now.

        Raises:
            ArchiveError, StoreError: The archive can't be read.
        """
        return [
            _counted(topic, self._bundles(self._lake.state(self._settings.qualified(topic)))) for topic in self._names()
        ]

    def run(self, progress: Progress | None = None) -> list[Compacted]:
        """Put together what can be.

        Args:
            progress: Told after each bundle.

        Raises:
            TidemillError: The archive or the registry can't be used; what was done until then is done.
        """
        folder = self._archive.scratch_dir or self._settings.state_dir / "archive"
        found = []
        with scratch(folder) as own:
            for topic in self._names():
                done: list[Bundle] = []
                while not self._turn(topic, own, done, progress):
                    self._stop.wait(PAUSE_SECONDS)
                found.append(_counted(topic, done))
        return found

    def _turn(self, topic: str, folder: Path, done: list[Bundle], progress: Progress | None) -> bool:
        """Put together for a while; whether nothing is left to do."""
        full_name = self._settings.qualified(topic)
        lease = Lease(self._lake.store, full_name, self._archive.lease_seconds)
        while not self._stop.is_set() and lease.take() is not None:
            self._stop.wait(ASK_SECONDS)
        if self._stop.is_set():
            return True
        until = time.monotonic() + TURN_SECONDS
        try:
            state = self._lake.state(full_name)
            total = len(done) + len(self._bundles(state))
            work = Compaction(self._settings, self._archive, self._lake, topic, folder, self._stop)
            with closing(work.run(state, lease)) as merged:
                for bundle in merged:
                    done.append(bundle)
                    if progress is not None:
                        progress(topic, len(done), total)
                    if time.monotonic() > until:
                        return False
        except Outrun as error:
            raise ArchiveError(
                f"Another archiver has taken topic {topic!r} over meanwhile.", hint="Do it again.", retriable=True
            ) from error
        finally:
            lease.give_back()
        return True

    def _names(self) -> list[str]:
        there = archived_topics(self._settings, self._lake)
        for topic in self._topics or ():
            if topic not in there:
                raise ArchiveError(
                    f"Nothing is archived of topic {topic!r} in {self._lake.url}.",
                    hint="`tidemill archive status` shows what is.",
                )
        return there if self._topics is None else [*self._topics]

    def _bundles(self, state: State) -> list[Bundle]:
        return bundles(state, self._archive.compact_bytes, datetime.now(UTC).date().isoformat())


def _counted(topic: str, done: Sequence[Bundle]) -> Compacted:
    return Compacted(topic, len(done), sum(len(each.files) for each in done), sum(each.size_bytes for each in done))
