"""What waits in one partition: a copy of the log in a file, so that memory stays small however many wait.

Relies on SQLite, without a journal: the file is a cache that nobody opens a second time. It has no name once it is
opened, so that nothing of it is left whatever ends the process. Changes are gathered and written in one go.
"""

from __future__ import annotations

import marshal
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tidemill.errors import ConfigError
from tidemill.event import Headers

GATHERED = 5_000
GATHERED_BYTES = 8 * 1024 * 1024
CACHE_KIB = 8_192
"""Of the file in memory; the rest is read again when it is due."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TABLES = """
CREATE TABLE waiting (
    offset INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, due_us INTEGER NOT NULL, try_us INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, topic TEXT NOT NULL, key BLOB, headers BLOB NOT NULL, value BLOB NOT NULL
);
CREATE INDEX by_time ON waiting (try_us, offset);
"""
_COLUMNS = "offset, id, due_us, topic, key, headers, value, size_bytes"


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An event that waits."""

    offset: int
    """Of the record by which it waits."""
    id: bytes
    due_us: int
    """Microseconds since 1970."""
    topic: str
    """Where it goes, with the namespace."""
    key: bytes | None
    headers: Headers
    """As they will be there."""
    value: bytes
    size_bytes: int
    """Key, value and headers."""

    @property
    def due(self) -> datetime:
        """Aware, UTC."""
        return _EPOCH + timedelta(microseconds=self.due_us)


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly; a float of seconds would round."""
    return (moment - _EPOCH) // _MICROSECOND


class WaitingRoom:
    """Events that wait, one per id.

    Args:
        folder: Where the file is; None takes the system's folder for temporary files. On a file system in memory
            (tmpfs) it would cost memory after all.

    Raises:
        ConfigError: The folder can't be written to, or is full; so do all methods.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._changes: dict[bytes, tuple[Any, ...] | None] = {}
        self._changed_bytes = 0
        with self._readable():
            handle, path = tempfile.mkstemp(prefix="tidemill-delays-", suffix=".sqlite", dir=self._folder)
            os.close(handle)
            try:
                self._file = sqlite3.connect(path, isolation_level=None)
                for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=MEMORY"):
                    self._file.execute(f"PRAGMA {pragma}")
                self._file.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                self._file.executescript(_TABLES)
            finally:
                # From now on the file lives as long as it is open, even should the process be killed.
                Path(path).unlink()

    def put(self, event: Waiting) -> None:
        """Let an event wait, instead of any other of its id."""
        self._changes[event.id] = (
            *(event.offset, event.id, event.due_us, event.due_us, event.size_bytes, event.topic, event.key),
            *(marshal.dumps(event.headers), event.value),
        )
        self._changed_bytes += event.size_bytes
        if len(self._changes) >= GATHERED or self._changed_bytes >= GATHERED_BYTES:
            self.settle()

    def drop(self, event_id: bytes) -> None:
        """Let an event wait no more, if it does."""
        self._changes[event_id] = None
        if len(self._changes) >= GATHERED:
            self.settle()

    def settle(self) -> None:
        """Write down what was gathered; every question does so first."""
        if not self._changes:
            return
        with self._readable():
            self._file.execute("BEGIN")
            self._file.executemany(
                "DELETE FROM waiting WHERE id = ?", ((each,) for each, row in self._changes.items() if row is None)
            )
            self._file.executemany(
                "INSERT OR REPLACE INTO waiting (offset, id, due_us, try_us, size_bytes, topic, key, headers, value)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (row for row in self._changes.values() if row is not None),
            )
            self._file.execute("COMMIT")
        self._changes.clear()
        self._changed_bytes = 0

    def due(self, now_us: int, most: int, most_bytes: int) -> list[Waiting]:
        """The events whose time has come, the longest due first, then as they lie in the log.

        Args:
            now_us: Microseconds since 1970.
            most: How many at most.
            most_bytes: How large together at most; one is returned even if it is larger.
        """
        found: list[Waiting] = []
        room_bytes = most_bytes
        for event in self._select("WHERE try_us <= ? ORDER BY try_us, offset LIMIT ?", now_us, most):
            room_bytes -= event.size_bytes
            if found and room_bytes < 0:
                break
            found.append(event)
        return found

    def get(self, event_id: bytes) -> Waiting | None:
        """The event of this id, if it waits."""
        return next(self._select("WHERE id = ?", event_id), None)

    def at(self, offsets: Iterable[int]) -> list[Waiting]:
        """Those of these records that still wait, in the order asked for."""
        return [event for offset in offsets for event in self._select("WHERE offset = ?", offset)]

    def soonest(self, *, topic: str | None = None, before_us: int | None = None) -> Iterator[Waiting]:
        """Events in the order in which they are due.

        Args:
            topic: Only those that go there, with the namespace.
            before_us: Only those due before then, microseconds since 1970.
        """
        where, values = _filter(topic, before_us)
        return self._select(f"{where} ORDER BY due_us, offset", *values)

    def count(self, *, topic: str | None = None, before_us: int | None = None) -> int:
        """How many `soonest` would give."""
        self.settle()
        where, values = _filter(topic, before_us)
        with self._readable():
            (count,) = self._file.execute(f"SELECT count(*) FROM waiting {where}", values).fetchone()
        return int(count)

    def postpone(self, offsets: Iterable[int], until_us: int) -> None:
        """Don't find these due before then."""
        self.settle()
        with self._readable():
            self._file.execute("BEGIN")
            self._file.executemany(
                "UPDATE waiting SET try_us = ? WHERE offset = ?", ((until_us, offset) for offset in offsets)
            )
            self._file.execute("COMMIT")

    def next_us(self) -> int | None:
        """When the next one is due or is to be tried again, microseconds since 1970; None where none waits."""
        self.settle()
        with self._readable():
            (found,) = self._file.execute("SELECT min(try_us) FROM waiting").fetchone()
        return None if found is None else int(found)

    def close(self) -> None:
        """Give the file's room back."""
        self._changes.clear()
        self._file.close()

    def _select(self, where: str, *values: object) -> Iterator[Waiting]:
        self.settle()
        with self._readable():
            for offset, event_id, due_us, topic, key, headers, value, size_bytes in self._file.execute(
                f"SELECT {_COLUMNS} FROM waiting {where}", values
            ):
                yield Waiting(offset, event_id, due_us, topic, key, marshal.loads(headers), value, size_bytes)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"What waits on schedule.delayed can't be kept in {self._folder}: {error}.",
                hint="Make room there, or set TMPDIR to a folder with more. Nothing is lost: the topic has it all.",
            ) from error


def _filter(topic: str | None, before_us: int | None) -> tuple[str, tuple[object, ...]]:
    return "WHERE (?1 IS NULL OR topic = ?1) AND (?2 IS NULL OR due_us < ?2)", (topic, before_us)
