"""Parquet files under way, on this machine's disk: one for each partition and day, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from consumers.archive.rows import Part
    from consumers.archive.settings import ArchiveSettings

GROUP_ROWS = 131_072
MOST_FILES = 200
"""Open at once; then they are committed. Timestamps of all centuries make no more."""


@dataclass
class Made:
    """A finished file."""

    path: Path
    kind: Literal["data", "quarantine"]
    partition: int
    date: str
    start: int
    end: int
    events: int
    tombstones: int
    size_bytes: int
    sha256: str
    min_ms: int
    max_ms: int


@dataclass
class _Open:
    """A file under way."""

    path: Path
    writer: pq.ParquetWriter
    held: list[Any] = field(default_factory=list)
    held_bytes: int = 0
    start: int = -1
    end: int = 0
    events: int = 0
    tombstones: int = 0
    min_ms: int = 1 << 62
    max_ms: int = -(1 << 62)

    def add(self, batch: Any) -> None:
        offsets, stamps = batch.column("_offset"), batch.column("_timestamp").cast(pa.int64())
        self.start = offsets[0].as_py() if self.start < 0 else self.start
        self.end = offsets[-1].as_py() + 1
        self.events += batch.num_rows
        self.tombstones += pc.sum(batch.column("_tombstone")).as_py()
        least_most = pc.min_max(stamps).as_py()
        self.min_ms, self.max_ms = min(self.min_ms, least_most["min"]), max(self.max_ms, least_most["max"])
        self.held.append(batch)
        self.held_bytes += batch.nbytes

    def flush(self) -> None:
        if self.held:
            self.writer.write_table(pa.Table.from_batches(self.held), row_group_size=GROUP_ROWS)
            self.held, self.held_bytes = [], 0


class Files:
    """The files of one commit to be.

    Args:
        folder: Where they are written; nobody else writes there.
        schemas: Arrow schema by kind.
        notes: What each file's metadata say of it, beside its offsets.
        settings: Sizes.
    """

    def __init__(self, folder: Path, schemas: dict[str, Any], notes: dict[str, str], settings: ArchiveSettings) -> None:
        self._folder, self._schemas, self._notes, self._settings = folder, schemas, notes, settings
        self._open: dict[tuple[Literal["data", "quarantine"], int, str], _Open] = {}
        self._began = time.monotonic()
        self._made = 0

    def add(self, part: Part) -> None:
        """Append rows; of each partition they come by offset."""
        key = (part.kind, part.partition, part.date)
        file = self._open.get(key)
        if file is None:
            path = self._folder / f"{self._made}.parquet"
            self._made += 1
            writer = pq.ParquetWriter(path, self._schemas[part.kind], compression="zstd", compression_level=3)
            file = self._open[key] = _Open(path, writer)
        file.add(part.batch)
        while sum(each.held_bytes for each in self._open.values()) > self._settings.memory_bytes:
            max(self._open.values(), key=lambda each: each.held_bytes).flush()

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        if not self._open:
            return False
        size_bytes = sum(file.path.stat().st_size + file.held_bytes // 4 for file in self._open.values())
        return (
            size_bytes >= self._settings.roll_bytes
            or len(self._open) >= MOST_FILES
            or time.monotonic() - self._began >= self._settings.roll_seconds
        )

    def finish(self) -> list[Made]:
        """Close all, and begin anew; the files are the caller's."""
        made = []
        for (kind, partition, date), file in sorted(self._open.items()):
            file.flush()
            offsets = {"tidemill.partition": str(partition), "tidemill.offsets": f"{file.start}-{file.end - 1}"}
            file.writer.add_key_value_metadata({**self._notes, **offsets})
            file.writer.close()
            with file.path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            made.append(
                Made(
                    file.path,
                    kind,
                    partition,
                    date,
                    file.start,
                    file.end,
                    file.events,
                    file.tombstones,
                    file.path.stat().st_size,
                    digest,
                    file.min_ms,
                    file.max_ms,
                )
            )
        self._open, self._began = {}, time.monotonic()
        return made

    def drop(self) -> None:
        """Give up what is under way."""
        for file in self._open.values():
            # It needn't become whole: on a full disk it can't.
            with suppress(OSError, pa.ArrowException):
                file.writer.close()
            file.path.unlink(missing_ok=True)
        self._open = {}


def notes_of(topic: str, topic_id: str, schema: Any) -> dict[str, str]:
    """What the metadata of a topic's files say.

    Args:
        topic: Its full name.
        topic_id: Kafka's.
        schema: The Avro schema that payloads were read as, as JSON; None where they weren't.
    """
    notes = {"tidemill.topic": topic, "tidemill.topic_id": topic_id}
    return notes if schema is None else {**notes, "avro.schema": json.dumps(schema)}
