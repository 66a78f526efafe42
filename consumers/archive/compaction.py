"""Small files of past days become few: the same events, read as the schema is now, by offset.

The entry that adds the new files removes the old ones, so that readers of the log see one or the other. Readers by glob
can't be given that: the old files go first, then the new ones get their names, so that they never see an event twice.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow.parquet as pq

from consumers.archive.committing import Committer, Outrun
from consumers.archive.files import Files, notes_of
from consumers.archive.reading import schema_of
from consumers.archive.rows import ENVELOPE, REASON, Rows
from tidemill.contracts.registry import Registry
from tidemill.errors import ArchiveError
from tidemill.replay.archived import Archived
from tidemill.replay.query import make_query
from tidemill.replay.schemas import Writers

if TYPE_CHECKING:
    from consumers.archive.settings import ArchiveSettings
    from tidemill.config import Settings
    from tidemill.replay.lake import Lake, LakeFile, State

LEAST_FILES = 2


class Held(Protocol):
    """A lease, as far as a compaction needs it."""

    lost: bool


@dataclass(frozen=True)
class Bundle:
    """Files of one partition and day that become one, or two where some of their events can't be read."""

    files: tuple[LakeFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of the files as they are."""
        return sum(file.size_bytes for file in self.files)


def bundles(state: State, target_bytes: int, today: str) -> list[Bundle]:
    """What can be put together.

    Args:
        state: What is archived.
        target_bytes: Files below half of it are small; a bundle has at most so much.
        today: Days from this one on, as `2026-11-30`, still grow, and are left alone.
    """
    days: dict[tuple[int, str], list[LakeFile]] = {}
    for file in state.files.values():
        if file.date < today:
            days.setdefault((file.partition, file.date), []).append(file)
    found = []
    for _, files in sorted(days.items()):
        bundle: list[LakeFile] = []
        size_bytes = 0
        for file in sorted(files, key=lambda each: (each.start, each.kind)):
            # Data and quarantine of one stretch stay together: only so are offsets in order afterwards.
            within = bundle and file.start < max(each.end for each in bundle)
            if bundle and not within and size_bytes + file.size_bytes > target_bytes:
                found.append(Bundle(tuple(bundle)))
                bundle, size_bytes = [], 0
            bundle.append(file)
            size_bytes += file.size_bytes
        found.append(Bundle(tuple(bundle)))
    return [each for each in found if _is_worth_it(each.files, target_bytes)]


def _is_worth_it(files: Sequence[LakeFile], target_bytes: int) -> bool:
    small = [file for file in files if file.size_bytes < target_bytes / 2]
    kinds = {file.kind for file in files}
    return len(small) >= LEAST_FILES and len(files) > len(kinds)


class Compaction:
    """Puts files of one topic together.

    Args:
        settings: Addresses and namespace.
        archive: Sizes.
        lake: The archive.
        topic: Without the namespace.
        folder: For files under way.
        stop: Set when it is to end after the bundle that is under way.
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
        self._full_name = settings.qualified(topic)

    def run(self, state: State, lease: Held, *, today: str | None = None) -> Generator[Bundle, None, None]:
        """Put together what can be; gives each bundle when it is done.

        Args:
            state: What is archived, as read while the lease was ours.
            lease: Ours.
            today: From which day on files are left alone; default: the present one, UTC.

        Raises:
            Outrun: Another archiver works on this topic.
            TidemillError: The registry or the store can't be used.
        """
        committer = Committer(self._lake, self._full_name, state)
        committer.recover()
        day = today or datetime.now(UTC).date().isoformat()
        with Registry(self._settings) as registry:
            reader = schema_of(registry, self._topic)
            rows = Rows(reader, Writers(registry))
            notes = notes_of(self._full_name, state.topic_id, None if reader is None else reader.json)
            for bundle in bundles(state, self._archive.compact_bytes, day):
                if self._stop.is_set():
                    return
                if lease.lost:
                    raise Outrun
                if reader is None:
                    self._check_bare(bundle)
                files = Files(self._folder, rows.schemas, notes, self._archive)
                try:
                    self._merge(bundle, rows, files, committer)
                finally:
                    files.drop()
                yield bundle

    def _check_bare(self, bundle: Bundle) -> None:
        """Without a schema only bytes would be left of files that have columns."""
        store = self._lake.store
        for file in bundle.files:
            with store.open(store.uri(file.name)) as stream:
                columns = pq.ParquetFile(stream).schema_arrow.names
            if named := [name for name in columns if name not in ENVELOPE and name != REASON]:
                raise ArchiveError(
                    f"Files of {self._full_name!r} have the column {named[0]!r}, "
                    "and no schema of it is registered any more.",
                    hint="Register it (`tidemill schemas register`), or leave the files as they are.",
                )

    def _merge(self, bundle: Bundle, rows: Rows, files: Files, committer: Committer) -> None:
        source = Archived(self._lake, self._full_name, make_query(self._topic), (), values=True, messages=True)
        for taken in source.of_files(bundle.files):
            for part in rows.parts(taken):
                files.add(part)
        made = files.finish()
        before = sum(file.events for file in bundle.files), sum(file.tombstones for file in bundle.files)
        after = sum(file.events for file in made), sum(file.tombstones for file in made)
        # Never give up the only copy of an event for a file that doesn't hold it.
        if before != after or {file.date for file in made} != {bundle.files[0].date}:
            raise ArchiveError(
                f"{len(bundle.files)} files of {self._full_name!r}, {bundle.files[0].date}, hold other events than the "
                f"archive's log says: {after[0]:,} and not {before[0]:,}.",
                hint="They were left as they are; `tidemill archive verify` says more.",
            )
        committer.commit(
            made, topic_id=committer.state.topic_id, offsets={}, removed=[file.name for file in bundle.files]
        )
