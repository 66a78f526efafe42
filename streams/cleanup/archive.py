"""Rows kept as Parquet in the object store before they go, and what earlier tries of the same event have kept.

A file's name holds its batch and the sum of its bytes: `<prefix>/<policy>/<day>/<event>/000007-<sum>.parquet`. It is
written whole, read back and compared before the rows' removal is committed.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.cleanup.columns import ArchiveColumn, arrow_table
from streams.cleanup.policy import RowsPolicy
from tidemill.errors import StoreError
from tidemill.events import CleanupArchive
from tidemill.store import Store

CONTENT_TYPE = "application/vnd.apache.parquet"
LARGEST_BYTES = 2 * 1024**3
"""Of one file; a batch is in memory anyhow."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = re.compile(r".*/(\d{6,})-([0-9a-f]{16})\.parquet")


@dataclass(frozen=True)
class Kept:
    """One archive file and its rows."""

    file: CleanupArchive
    number: int
    table: pa.Table


class Archive:
    """The archive of one event's run.

    Args:
        store: Where files are written.
        policy: Its `archive` is the prefix.
        event_id: Id of the event.
        as_of: Its day is part of the names.
        columns: What is archived of each row.
    """

    def __init__(
        self, store: Store, policy: RowsPolicy, event_id: str, as_of: datetime, columns: Sequence[ArchiveColumn]
    ) -> None:
        self._store = store
        self.columns = columns
        self._folder = f"{policy.archive}/{policy.name}/{as_of:%Y-%m-%d}/{_plain(event_id)}"
        self._metadata = {
            "tidemill.policy": policy.name,
            "tidemill.table": str(policy.table),
            "tidemill.event": event_id,
            "tidemill.as_of": as_of.isoformat(),
        }

    def keep(self, number: int, rows: Sequence[Sequence[Any]]) -> CleanupArchive:
        """Write the rows of a batch, and see that they are there.

        Args:
            number: The batch's, from 1; no other of the event has it.
            rows: At least one.

        Raises:
            Reject: A value can't be kept exactly.
            StoreError: It couldn't be written, or what was read back is something else (retriable).
        """
        buffer = io.BytesIO()
        pq.write_table(arrow_table(self.columns, rows, self._metadata), buffer, compression="zstd")
        data = buffer.getvalue()
        sha256 = hashlib.sha256(data).hexdigest()
        written = self._store.write(f"{self._folder}/{number:06d}-{sha256[:16]}.parquet", data, CONTENT_TYPE)
        try:
            back = self._store.read(written.uri, len(data))
            found_rows = pq.ParquetFile(io.BytesIO(back)).metadata.num_rows if back == data else None
            if found_rows != len(rows):
                raise StoreError(
                    f"{written.uri} was written with {len(rows):,} rows and sum {sha256}, but reads back otherwise.",
                    retriable=True,
                )
        except BaseException:
            self._store.delete(written.uri)
            raise
        return CleanupArchive(uri=written.uri, rows=len(rows), bytes=len(data), sha256=sha256)

    def drop(self, file: CleanupArchive) -> None:
        """Remove a file whose rows were not removed after all."""
        self._store.delete(file.uri)

    def earlier(self) -> Iterator[Kept]:
        """What earlier tries of this event have kept, in their order.

        Raises:
            StoreError: A file isn't what its name says.
        """
        for info in sorted(self._store.list(self._folder), key=lambda info: info.uri):
            match = _FILE.fullmatch(info.uri)
            if match is None:
                continue  # not ours
            data = self._store.read(info.uri, LARGEST_BYTES)
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256[:16] != match[2]:
                raise StoreError(
                    f"Archive {info.uri} is damaged: its sum is {sha256[:16]}, its name says {match[2]}.",
                    hint="Move it away, and look whether its rows are still in the table; then redrive the event.",
                )
            table = pq.read_table(io.BytesIO(data))
            file = CleanupArchive(uri=info.uri, rows=table.num_rows, bytes=len(data), sha256=sha256)
            yield Kept(file, int(match[1]), table)


def as_kept(columns: Sequence[ArchiveColumn], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Each row in the form in which an archive holds it, to be compared."""
    return row_texts(arrow_table(columns, rows, {})) if rows else []


def row_texts(table: pa.Table) -> list[str]:
    """Each row of an archive as a text that is equal for equal rows; unlike values, NaN is equal to itself."""
    return [repr(tuple(row.values())) for row in table.to_pylist()]


def _plain(event_id: str) -> str:
    """An event's id as part of a name; ids may hold anything."""
    if _PLAIN.fullmatch(event_id):
        return event_id
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", event_id).lstrip("._-")[:60]
    return f"{readable}-{hashlib.sha256(event_id.encode()).hexdigest()[:12]}".lstrip("-")
