"""The archive in the object store: where things lie, its log of commits, and what the log says is there.

One log for each topic, entries numbered from 1, each made by `Store.claim`: of all who would write the next one, one
does. That alone decides which files and offsets count. Entries are never changed and never deleted; an archiver that
slept for a year finds its number taken. Reads; who writes is `consumers.archive`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tidemill.errors import ArchiveError, ConfigError, ObjectMissing
from tidemill.replay.ranges import Gap
from tidemill.store import Store

if TYPE_CHECKING:
    from tidemill.config import Settings

VERSION = 1
INNER = "_tidemill"
"""Folder of what isn't data; Spark and Hive pass over names that start so."""
CHECKPOINT_EVERY = 20
"""Entries; a reader reads the last checkpoint and at most so many entries."""
MOST_BYTES = 256_000_000
"""Of an entry or a checkpoint."""


@dataclass(frozen=True)
class LakeFile:
    """A Parquet file of one partition and day."""

    name: str
    """Below the archive; readers by glob see it there and nowhere else."""
    staged: str
    """Where it lies between its upload and its commit."""
    kind: Literal["data", "quarantine"]
    partition: int
    start: int
    """Offset of its first event."""
    end: int
    """The offset after its last one."""
    date: str
    """Of the timestamps, UTC."""
    events: int
    tombstones: int
    size_bytes: int
    sha256: str
    min_ms: int
    max_ms: int
    """Smallest and largest timestamp, milliseconds since 1970."""


@dataclass(frozen=True)
class Entry:
    """A commit: what it adds is archived, what it removes is replaced by that."""

    sequence: int
    token: str
    """Random: by it a writer knows its own entry again."""
    topic_id: str
    """Of the topic that was read (KIP-516): offsets begin anew with another one."""
    at_ms: int
    by: str
    """Host and process."""
    offsets: dict[int, tuple[int, int]]
    """By partition, the offsets that are archived by it: the first, and the one after the last."""
    gaps: tuple[Gap, ...]
    """What retention had deleted before it could be archived; within `offsets`."""
    files: tuple[LakeFile, ...]
    removed: tuple[str, ...]
    """Names of files that are replaced by `files`."""

    def to_json(self) -> bytes:
        """As it is kept."""
        return json.dumps({"version": VERSION, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Entry:
        """What `to_json` made.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        found = _versioned(json.loads(data))
        found["offsets"] = {int(partition): (start, end) for partition, (start, end) in found["offsets"].items()}
        found["gaps"] = tuple(Gap(**each) for each in found["gaps"])
        found["files"] = tuple(LakeFile(**each) for each in found["files"])
        found["removed"] = tuple(found["removed"])
        return cls(**found)


@dataclass
class State:
    """What the log of a topic says, up to one of its entries."""

    sequence: int = 0
    """Number of the last entry."""
    topic_id: str = ""
    began: dict[int, int] = field(default_factory=dict)
    """By partition, the first offset that was archived."""
    next_offsets: dict[int, int] = field(default_factory=dict)
    """By partition, the first offset that isn't."""
    files: dict[str, LakeFile] = field(default_factory=dict)
    """Those that count, by name."""
    former: dict[str, LakeFile] = field(default_factory=dict)
    """Those of a topic of the same name that was deleted."""
    gaps: list[Gap] = field(default_factory=list)
    at_ms: int = 0
    """When it was last committed to; 0 where it never was."""

    def add(self, entry: Entry) -> None:
        """Go on by one entry.

        Raises:
            ArchiveError: It doesn't follow on what is there.
        """
        if entry.sequence != self.sequence + 1:
            raise ArchiveError(f"Entry {entry.sequence} of the archive's log can't follow on {self.sequence}.")
        if entry.topic_id != self.topic_id:
            self.former |= self.files
            self.topic_id, self.began, self.next_offsets, self.files, self.gaps = entry.topic_id, {}, {}, {}, []
        for partition, (start, end) in entry.offsets.items():
            expected = self.next_offsets.get(partition, start)
            if start != expected or end < start:
                raise ArchiveError(
                    f"Entry {entry.sequence} of the archive's log has the offsets {start} to {end} of partition "
                    f"{partition}, which don't follow on {expected}."
                )
            self.began.setdefault(partition, start)
            self.next_offsets[partition] = end
        for name in entry.removed:
            if self.files.pop(name, None) is None and self.former.pop(name, None) is None:
                raise ArchiveError(f"Entry {entry.sequence} of the archive's log replaces {name}, which isn't there.")
        self.files |= {file.name: file for file in entry.files}
        self.gaps += entry.gaps
        self.sequence, self.at_ms = entry.sequence, entry.at_ms

    def of_partition(self, partition: int) -> list[LakeFile]:
        """The files of a partition, by their first offset."""
        return sorted(
            (file for file in self.files.values() if file.partition == partition), key=lambda each: each.start
        )

    def to_json(self) -> bytes:
        """As it is kept in a checkpoint; the same for the same state."""
        state = {**self.__dict__, "files": [*map(asdict, self.files.values())]}
        state["former"] = [*map(asdict, self.former.values())]
        state["gaps"] = [*map(asdict, self.gaps)]
        return gzip.compress(json.dumps({"version": VERSION, **state}, separators=(",", ":")).encode(), mtime=0)

    @classmethod
    def from_json(cls, data: bytes) -> State:
        """What `to_json` made.

        Raises:
            ValueError, KeyError, TypeError, EOFError, OSError: It is something else.
        """
        found = _versioned(json.loads(gzip.decompress(data)))
        for name in ("began", "next_offsets"):
            found[name] = {int(partition): offset for partition, offset in found[name].items()}
        for name in ("files", "former"):
            found[name] = {each["name"]: LakeFile(**each) for each in found[name]}
        found["gaps"] = [Gap(**each) for each in found["gaps"]]
        return cls(**found)


def _versioned(found: dict[str, Any]) -> dict[str, Any]:
    version = found.pop("version")
    if version != VERSION:
        raise ArchiveError(f"The archive's log is of version {version}, and {VERSION} is known here.", hint="Update.")
    return found


class Lake:
    """The archive at one place.

    Args:
        store: The store that holds nothing else, or a folder of one.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def from_settings(cls, settings: Settings) -> Lake:
        """The archive that Settings name.

        Raises:
            ConfigError: `archive_url` is no usable URI.
        """
        try:
            return cls(Store.from_urls(settings.archive_store))
        except ConfigError as error:
            if settings.archive_url is None:
                raise
            raise ConfigError(
                error.message.replace("'store_url'", "'archive_url'", 1),
                hint="Set TIDEMILL_ARCHIVE_URL to a place such as file:///srv/archive or s3://bucket/archive.",
            ) from error

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.home.uri

    def topics(self) -> list[str]:
        """Full names of the topics that are archived.

        Raises:
            StoreError: The store can't be read.
        """
        prefix = self.store.uri(f"{INNER}/topics")
        return sorted(found.uri[len(prefix) + 1 :] for found in self.store.list(f"{INNER}/topics"))

    def state(self, topic: str, after: State | None = None) -> State:
        """What is archived of a topic.

        Args:
            topic: Its full name.
            after: An earlier state, which is gone on from, and changed.

        Raises:
            ArchiveError: The log is damaged.
            StoreError: The store can't be read.
        """
        state = after if after is not None else self._checkpoint(topic)
        while (entry := self.entry(topic, state.sequence + 1)) is not None:
            state.add(entry)
        return state

    def entry(self, topic: str, sequence: int) -> Entry | None:
        """An entry of a topic's log; None where there is none yet. Raises what `state` raises."""
        name = log_name(topic, sequence)
        try:
            return Entry.from_json(self.store.read(self.store.uri(name), MOST_BYTES))
        except ObjectMissing:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(
                f"{self.url}/{name} is damaged: {error}.",
                hint="Restore it from a copy of the archive; what was archived after it can't be told without it.",
            ) from error

    def checkpoints(self, topic: str) -> Iterator[str]:
        """URIs of the topic's checkpoints, newest first."""
        return iter(sorted((found.uri for found in self.store.list(f"{INNER}/checkpoints/{topic}")), reverse=True))

    def _checkpoint(self, topic: str) -> State:
        for uri in self.checkpoints(topic):
            # It saves reading, and decides nothing: one that is damaged or was just deleted is passed over.
            try:
                return State.from_json(self.store.read(uri, MOST_BYTES))
            except (ObjectMissing, ValueError, KeyError, TypeError, EOFError, OSError):
                continue
        return State()


def log_name(topic: str, sequence: int) -> str:
    """Where an entry of a topic's log lies, below the archive."""
    return f"{INNER}/log/{topic}/{sequence:012}.json"


def checkpoint_name(topic: str, sequence: int) -> str:
    """Where a topic's state after an entry lies, below the archive."""
    return f"{INNER}/checkpoints/{topic}/{sequence:012}.json.gz"
