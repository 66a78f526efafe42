"""One pass over one topic: read what waits, write files, commit; a kill at any moment costs nothing but the time.

Offsets are those of the archive's own log; no consumer group knows of it. Holds the topic's lease meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from consumers.archive.committing import Committer, Outrun
from consumers.archive.files import Files, notes_of
from consumers.archive.reading import Waiting, endangered, retention_of, schema_of, waiting
from consumers.archive.rows import Rows
from tidemill.contracts.registry import Registry
from tidemill.replay.ahead import ahead
from tidemill.replay.fetching import Fetcher
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Gap
from tidemill.replay.schemas import Writers
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from datetime import timedelta

    from consumers.archive.lease import Lease
    from consumers.archive.settings import ArchiveSettings
    from tidemill.config import Settings
    from tidemill.replay.lake import Lake, State
    from tidemill.replay.slices import Slice

DEPTH = 2
"""How many slices may wait between Kafka and the files."""

MEMORY_PARTS = 2
"""What is fetched ahead has one of so many parts of a scan's memory: messages are kept here, with their headers."""

Progress = Callable[[str, int, int], None]
"""Called with the topic, the offsets passed, and the offsets in all."""


@dataclass
class Taken:
    """What a pass has done."""

    topic: str
    """Without the namespace."""
    events: int = 0
    """Archived, tombstones and quarantined ones included."""
    tombstones: int = 0
    quarantined: int = 0
    files: int = 0
    size_bytes: int = 0
    commits: int = 0
    gaps: list[Gap] = field(default_factory=list)
    """What retention had deleted before."""
    complete: bool = True
    """Whether it came to the topic's end as it was at the beginning."""


class Pass:
    """One pass.

    Args:
        settings: Addresses and namespace.
        archive: Sizes and times.
        lake: The archive.
        topic: Without the namespace.
        folder: For files under way.
        stop: Set when it is to end soon, with what it has.
    """

    def __init__(
        self,
        settings: Settings,
        archive: ArchiveSettings,
        lake: Lake,
        topic: str,
        folder: Path,
        stop: threading.Event,
    ) -> None:
        self._settings, self._archive, self._lake, self._topic = settings, archive, lake, topic
        self._folder, self._stop = folder, stop
        self._log = get_logger("archive").bind(topic=topic)
        self.taken = Taken(topic)

    def run(self, state: State, lease: Lease, progress: Progress | None = None) -> Taken:
        """Archive what waits.

        Args:
            state: What is archived, as read while the lease was ours.
            lease: Ours; when it is lost, the pass ends.
            progress: Told after each some thousand events.

        Raises:
            Outrun: Another archiver works on this topic.
            TidemillError: Kafka, the registry or the store can't be used.
        """
        committer = Committer(self._lake, self._settings.qualified(self._topic), state)
        if published := committer.recover():
            self._log.info("what another archiver had committed was published", files=published)
        found = waiting(self._settings, self._topic, state)
        self._warn(found)
        if found.is_empty:
            return self.taken
        with Registry(self._settings) as registry:
            reader = schema_of(registry, self._topic)
            rows = Rows(reader, Writers(registry))
            notes = notes_of(found.plan.topic, found.plan.topic_id, None if reader is None else reader.json)
            files = Files(self._folder, rows.schemas, notes, self._archive)
            try:
                self._copy(found, rows, files, committer, lease, progress)
            finally:
                files.drop()
        return self.taken

    def _copy(
        self,
        found: Waiting,
        rows: Rows,
        files: Files,
        committer: Committer,
        lease: Lease,
        progress: Progress | None,
    ) -> None:
        fetcher = Fetcher(self._settings, make_query(self._topic), found.plan, keep_messages=True, share=MEMORY_PARTS)
        course = _Course(found)
        late_looked: set[int] = set()
        retention = retention_of(self._settings, found.plan.topic)
        slices = ahead(fetcher.slices(), depth=DEPTH, name="tidemill-archive-fetch")
        with closing(slices):
            for taken in slices:
                if lease.lost:
                    raise Outrun
                if len(late_looked) < len(found.plan.ranges):
                    self._warn_late(found, _first(taken, late_looked), retention)
                for part in rows.parts(taken):
                    files.add(part)
                course.positions |= taken.next_offsets
                if progress is not None:
                    progress(self._topic, course.passed, found.offsets)
                if files.is_full:
                    self._commit(found, files, committer, course, fetcher.gaps)
                if self._stop.is_set():
                    self.taken.complete = False
                    break
        if self.taken.complete:
            # What lies behind the last event up to the end are markers of transactions, or nothing.
            course.positions |= {each.partition: each.end for each in found.plan.ranges}
        self._commit(found, files, committer, course, fetcher.gaps)

    def _commit(self, found: Waiting, files: Files, committer: Committer, course: _Course, gaps: list[Gap]) -> None:
        made = files.finish()
        offsets, lost = course.since(gaps)
        if not made and not offsets:
            return
        began = time.monotonic()
        committer.commit(made, topic_id=found.plan.topic_id, offsets=offsets, gaps=lost)
        course.commit(offsets)
        for gap in lost:
            self._log.error(
                "events were deleted before they were archived",
                partition=gap.partition,
                first_offset=gap.start,
                last_offset=gap.end - 1,
            )
        taken = self.taken
        taken.gaps += lost
        taken.commits += 1
        taken.files += len(made)
        taken.events += sum(file.events for file in made)
        taken.tombstones += sum(file.tombstones for file in made if file.kind == "data")
        taken.quarantined += sum(file.events for file in made if file.kind == "quarantine")
        taken.size_bytes += sum(file.size_bytes for file in made)
        self._log.info(
            "archived",
            events=sum(file.events for file in made),
            files=len(made),
            bytes=sum(file.size_bytes for file in made),
            seconds=round(time.monotonic() - began, 3),
        )

    def _warn(self, found: Waiting) -> None:
        if found.is_new:
            self._log.warning("the topic was deleted and made anew; its archive begins anew, and the old files stay")
        for partition, (end, archived) in found.shrunk.items():
            self._log.error(
                "the partition ends before what is archived of it: Kafka has lost events, and offsets may come again",
                partition=partition,
                end=end,
                archived=archived,
            )

    def _warn_late(self, found: Waiting, first_ms: Mapping[int, int], retention: timedelta | None) -> None:
        late = endangered(found, first_ms, retention, self._archive.warn_share)
        for partition in late.keys() & first_ms.keys():
            self._log.warning("unread events are about to be deleted", partition=partition, why=late[partition])


def _first(taken: Slice, looked: set[int]) -> dict[int, int]:
    """Timestamps of the first events of partitions that weren't looked at yet."""
    first: dict[int, int] = {}
    for partition, stamp in zip(taken.partitions, taken.timestamps, strict=True):
        if partition not in looked:
            looked.add(partition)
            first[partition] = stamp
    return first


class _Course:
    """How far a pass has come, and how far it has committed."""

    def __init__(self, found: Waiting) -> None:
        self._committed = dict(found.begins)
        self._starts = dict(found.plan.next_offsets)
        self._gaps = found.gaps
        self._unknown = set(found.unknown)
        self.positions = dict(found.plan.next_offsets)

    @property
    def passed(self) -> int:
        """Offsets that were passed."""
        return sum(self.positions[each] - start for each, start in self._starts.items())

    def since(self, gaps: list[Gap]) -> tuple[dict[int, tuple[int, int]], list[Gap]]:
        """What has been passed since the last commit: offsets by partition, and gaps within them."""
        offsets = {
            each: (start, self.positions[each])
            for each, start in self._committed.items()
            if self.positions[each] > start or each in self._unknown
        }
        lost = [
            gap
            for gap in (*self._gaps, *gaps)
            if gap.partition in offsets
            and offsets[gap.partition][0] <= gap.start
            and gap.end <= offsets[gap.partition][1]
        ]
        return offsets, lost

    def commit(self, offsets: Mapping[int, tuple[int, int]]) -> None:
        """They are committed."""
        self._committed |= {partition: end for partition, (_, end) in offsets.items()}
        self._unknown -= offsets.keys()
