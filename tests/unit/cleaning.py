"""For the tests of clean-up: a database of sessions in SQLite, a store, and runs of policies on them."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.cleanup.cleaner import clean
from streams.cleanup.policies import parse_policies
from streams.cleanup.request import Request, Watch
from streams.cleanup.settings import CleanupSettings
from tidemill.events import CleanupDone
from tidemill.store import Store

AS_OF = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Site:
    """A machine with a database of sessions (id, user, seen, state) and an object store.

    Args:
        folder: Where everything is.
        url: Another database than the SQLite file; a test makes its tables.
        now: From when ages of sessions are counted back.
    """

    def __init__(self, folder: Path, url: str | None = None, now: datetime = AS_OF) -> None:
        self.folder = folder
        self._now = now
        self.file = folder / "app.db"
        self.url = url or f"sqlite:///{self.file}"
        self.store = Store.from_urls((folder / "objects").as_uri())

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement; its rows."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def fill(self, old: int, young: int, more: str = "") -> None:
        """A table of so many sessions of 100 days and of one day ago; ids from 1, the oldest first."""
        self.sql(f"CREATE TABLE sessions (id INTEGER PRIMARY KEY, user TEXT, seen DATETIME, state TEXT{more})")
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(
                "INSERT INTO sessions (id, user, seen, state) VALUES (?, ?, ?, ?)",
                [
                    (number, f"user-{number}", _seen(self._now, 100 if number <= old else 1, number), "open")
                    for number in range(1, old + young + 1)
                ],
            )

    def ids(self, table: str = "sessions") -> list[int]:
        """The ids that are left."""
        return [row[0] for row in self.sql(f"SELECT id FROM {table} ORDER BY id")]

    def run(
        self,
        policy: str = "",
        *,
        event_id: str = "event-1",
        dry_run: bool = False,
        force: bool = False,
        as_of: datetime = AS_OF,
        watch: Watch | None = None,
    ) -> CleanupDone:
        """Apply a policy; by default to sessions older than 90 days. A key that is given wins over its default."""
        (found,) = parse_policies(declared(policy, self.url))
        return clean(
            found,
            Request(event_id, as_of, dry_run, force),
            settings=CleanupSettings(databases={"app": self.url}),  # type: ignore[dict-item]
            store=self.store,
            state_dir=self.folder / "state",
            watch=watch or Watch(),
        )

    def archived(self) -> list[dict[str, Any]]:
        """All rows of all archives, as files tell them."""
        return [row for table in self.archives() for row in table.to_pylist()]

    def archives(self) -> Iterator[pa.Table]:
        """The archives, in order of their names."""
        for info in self.store.list("archive"):
            data = self.store.read(info.uri, 10**9)
            assert hashlib.sha256(data).hexdigest()[:16] in info.uri
            yield pq.read_table(io.BytesIO(data))


def declared(policy: str, url: str = "sqlite:///app.db") -> str:
    """A policy as text; what isn't said is that of the sessions."""
    defaults = {
        "name": '"sessions"',
        "database": f'"{url}"' if url.startswith("sqlite") else '"app"',
        "table": '"sessions"',
        "age": '"seen"',
        "older_than": '"90d"',
        "max_share": "1.0",
        "pause_seconds": "0",
    }
    said = {line.partition("=")[0].strip() for line in policy.splitlines()}
    if 'kind = "files"' in policy:
        defaults = {"name": '"files"', "max_share": "1.0"}
    if "condition" in said and "age" not in said:
        del defaults["age"], defaults["older_than"]
    lines = [f"{key} = {value}" for key, value in defaults.items() if key not in said]
    return "\n".join(["[[policy]]", *lines, policy])


def _seen(now: datetime, days: int, number: int) -> str:
    return (now - timedelta(days=days) + timedelta(seconds=number)).strftime("%Y-%m-%d %H:%M:%S")
