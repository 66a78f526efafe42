"""Which relay has which lane: locks that end with their holder.

On Postgres a lane is an advisory lock of the connection that its rows are moved by. On SQLite the whole file belongs to
one relay, by a lock on a file beside it. Neither is what makes each row one event: that are the transactions in Kafka,
which fail for a relay that has lost its lane and doesn't know it yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text

from tidemill.outbox.ddl import LANES

if TYPE_CHECKING:
    from sqlalchemy import Connection

PRESENT_FROM = 1000
"""Numbers of the locks by which relays show that they are there, above those of lanes."""
MOST_RELAYS = 256


class Locks(Protocol):
    """Lanes of one outbox."""

    def take(self, connection: Connection, lane: int) -> bool:
        """Have a lane, for as long as the connection lives; returns whether it was free."""

    def give_back(self, connection: Connection, lane: int) -> None:
        """Let another relay have it."""

    def close(self) -> None:
        """Give all of them back."""


class PostgresLocks:
    """Advisory locks.

    Args:
        identity: The outbox's own id; others in the same database have other locks.
    """

    def __init__(self, identity: str) -> None:
        self._space = zlib.crc32(identity.encode()) - 2**31

    def take(self, connection: Connection, lane: int) -> bool:
        return self._try(connection, lane)

    def give_back(self, connection: Connection, lane: int) -> None:
        with connection.begin():
            connection.execute(
                text("SELECT pg_advisory_unlock(:space, :number)"), {"space": self._space, "number": lane}
            )

    def show_presence(self, connection: Connection) -> None:
        """Count as a relay for as long as the connection lives."""
        for number in range(PRESENT_FROM, PRESENT_FROM + MOST_RELAYS):
            if self._try(connection, number):
                return

    def relays(self, connection: Connection) -> int:
        """How many relays of this outbox there are."""
        with connection.begin():
            found = connection.execute(
                text(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                    "AND classid = CAST(:space AS bigint)::oid AND objid >= :first"
                ),
                {"space": self._space % 2**32, "first": PRESENT_FROM},
            ).scalar_one()
        return int(found)

    def close(self) -> None:
        """Nothing: the locks end with their connections."""

    def _try(self, connection: Connection, number: int) -> bool:
        with connection.begin():
            return bool(
                connection.execute(
                    text("SELECT pg_try_advisory_lock(:space, :number)"), {"space": self._space, "number": number}
                ).scalar_one()
            )


class FileLock:
    """The lock of an SQLite outbox.

    Args:
        database: SQLite's file.
    """

    def __init__(self, database: str) -> None:
        self._path = Path(f"{database}-relay.lock")
        self._guard = threading.Lock()
        self._file: int | None = None

    def take(self, connection: Connection, lane: int) -> bool:
        with self._guard:
            if self._file is not None:
                return True
            file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._file = file
            return True

    def give_back(self, connection: Connection, lane: int) -> None:
        """Nothing: the file is this relay's until its end."""

    def close(self) -> None:
        with self._guard:
            if self._file is not None:
                # Its name goes while the lock is held: whoever opens it anew locks another file, not this one twice.
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
                os.close(self._file)
                self._file = None


def fair_share(relays: int) -> int:
    """How many lanes a relay has at most, where there are so many."""
    return -(-LANES // max(1, relays))
