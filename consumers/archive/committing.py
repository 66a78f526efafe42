"""Which files count: staged first, then named in the log's next entry, then given the name that readers by glob see.

The entry is the commit (`Store.claim`: one writer gets it). What is killed before it leaves staged files that nobody
sees; what is killed after it leaves some that the next one publishes. Must never give a name to what isn't committed,
nor two names to one event: files that are replaced go before those that replace them come.
"""

from __future__ import annotations

import copy
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.errors import ArchiveError, ObjectMissing, StoreUnavailable
from tidemill.replay.lake import CHECKPOINT_EVERY, INNER, Entry, Lake, LakeFile, State, checkpoint_name, log_name
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from consumers.archive.files import Made
    from tidemill.replay.ranges import Gap

KEPT_CHECKPOINTS = 2
_TYPES = {"data": "application/vnd.apache.parquet", "quarantine": "application/vnd.apache.parquet"}


class Outrun(Exception):
    """Another archiver has committed meanwhile: what this one was about to commit doesn't follow on it any more."""


class Committer:
    """Commits to one topic's log.

    Args:
        lake: The archive.
        topic: The topic's full name.
        state: What is archived; it goes on with each commit.
    """

    def __init__(self, lake: Lake, topic: str, state: State) -> None:
        self.state = state
        self._lake, self._topic = lake, topic
        self._store = lake.store
        self._log = get_logger("archive").bind(topic=topic)

    def recover(self) -> int:
        """Finish what others were killed at: publish what is committed, remove what never will be.

        What is staged for an entry that isn't written yet may still be somebody's, and stays.

        Returns:
            How many files were published.

        Raises:
            ArchiveError, StoreError: The archive can't be read or written.
        """
        published = 0
        prefix = f"{INNER}/staged/{self._topic}"
        above = len(self._store.uri(prefix)) + 1
        wanted: dict[int, set[str]] = {}
        for found in [*self._store.list(prefix)]:
            name = f"{prefix}/{found.uri[above:]}"
            sequence = int(found.uri[above:].partition("-")[0])
            if sequence > self.state.sequence:
                continue
            if sequence not in wanted:
                entry = self._lake.entry(self._topic, sequence)
                wanted[sequence] = set()
                if entry is not None:
                    published += self.publish(entry)
                    wanted[sequence] = {file.staged for file in entry.files if self._is_live(file)}
            if name not in wanted[sequence]:
                self._store.delete(found.uri)
        return published

    def _is_live(self, file: LakeFile) -> bool:
        return file.name in self.state.files or file.name in self.state.former

    def commit(
        self,
        made: Sequence[Made],
        *,
        topic_id: str,
        offsets: Mapping[int, tuple[int, int]],
        gaps: Sequence[Gap] = (),
        removed: Sequence[str] = (),
    ) -> Entry:
        """Make files count, and publish them.

        Args:
            made: The files; they are removed from this machine's disk.
            topic_id: Of the topic they were read from.
            offsets: By partition, what is archived with them.
            gaps: What of that was lost to retention.
            removed: Names of files that they replace.

        Raises:
            Outrun: Another archiver was faster; nothing of this counts.
            ArchiveError, StoreError: The archive can't be read or written. Whether it counts, the log says.
        """
        sequence, token = self.state.sequence + 1, secrets.token_hex(8)
        files = [self._stage(each, sequence, f"{token}-{number}") for number, each in enumerate(made)]
        entry = Entry(
            sequence,
            token,
            topic_id,
            time.time_ns() // 1_000_000,
            f"{socket.gethostname()}:{os.getpid()}",
            dict(offsets),
            tuple(gaps),
            tuple(files),
            tuple(removed),
        )
        _rehearse(self.state, entry)
        if sequence == 1:
            self._store.claim(f"{INNER}/topics/{self._topic}", b"")
        if not self._claim(entry):
            for file in files:
                self._store.delete(self._store.uri(file.staged))
            raise Outrun
        self.state.add(entry)
        self.publish(entry)
        if sequence % CHECKPOINT_EVERY == 0:
            self._checkpoint()
        return entry

    def publish(self, entry: Entry) -> int:
        """Give an entry's files their names; whoever does it again changes nothing.

        Returns:
            How many of them had none yet.
        """
        waiting = [*filter(self._is_live, entry.files)]
        if not waiting:
            return 0
        for name in entry.removed:
            self._store.delete(self._store.uri(name))
        count = 0
        for file in waiting:
            try:
                self._store.move(file.staged, file.name)
                count += 1
            except ObjectMissing:
                continue  # somebody else has done it
        return count

    def _stage(self, made: Made, sequence: int, tag: str) -> LakeFile:
        staged = f"{INNER}/staged/{self._topic}/{sequence:012}-{tag}.staged"
        self._store.put(staged, made.path, _TYPES[made.kind])
        made.path.unlink()
        folder, ending = ("", "parquet") if made.kind == "data" else ("_quarantine/", "pq")
        name = (
            f"{folder}topic={self._topic}/date={made.date}/"
            f"{made.partition:05}-{made.start:020}-{made.end - 1:020}-{sequence:08}.{ending}"
        )
        return LakeFile(
            name,
            staged,
            made.kind,
            made.partition,
            made.start,
            made.end,
            made.date,
            made.events,
            made.tombstones,
            made.size_bytes,
            made.sha256,
            made.min_ms,
            made.max_ms,
        )

    def _claim(self, entry: Entry) -> bool:
        name = log_name(self._topic, entry.sequence)
        try:
            if self._store.claim(name, entry.to_json()):
                return True
        except StoreUnavailable:
            # It may have been written all the same.
            found = self._lake.entry(self._topic, entry.sequence)
            if found is None:
                raise
        else:
            found = self._lake.entry(self._topic, entry.sequence)
            if found is None:
                raise ArchiveError(
                    f"{self._lake.url}/{name} was refused as there already, and isn't there.",
                    hint="The store doesn't read what was written: look whether it is one store, without a cache.",
                )
        # The answer to a first request may be lost, and the client asks again.
        return found.token == entry.token

    def _checkpoint(self) -> None:
        self._store.write(checkpoint_name(self._topic, self.state.sequence), self.state.to_json(), "application/gzip")
        for uri in [*self._lake.checkpoints(self._topic)][KEPT_CHECKPOINTS:]:
            self._store.delete(uri)


def _rehearse(state: State, entry: Entry) -> None:
    """Raise what `State.add` would, before the entry is there for ever."""
    trial = copy.copy(state)
    for name in ("began", "next_offsets", "files", "former", "gaps"):
        setattr(trial, name, copy.copy(getattr(state, name)))
    trial.add(entry)
