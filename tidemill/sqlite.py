"""SQLite files that several processes write: opened in one way by whatever keeps its tables in one.

Needs SQLAlchemy. Knows no tables; those who keep some make them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

RETRY_SECONDS = 0.005


def sqlite_engine(
    url: URL, *, busy_seconds: float, synchronous: Literal["FULL", "NORMAL"], immediate: bool = False
) -> Engine:
    """An engine on a file in WAL mode, which is made where it isn't there, readable by its owner alone.

    Args:
        url: With the path of the file as its database.
        busy_seconds: How long to wait for another writer.
        synchronous: FULL where a power cut must not take back what was committed; NORMAL where it may.
        immediate: Transactions take the write lock at their beginning, so that two don't both read and then both write.
    """
    from sqlalchemy import create_engine, event

    path = Path(url.database or "")
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds})

    def make_file(*_: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def configure(connection: Any, _: Any) -> None:
        # The driver's own transactions begin late.
        connection.isolation_level = None
        _write_ahead(connection, busy_seconds)
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    event.listen(engine, "do_connect", make_file)
    event.listen(engine, "connect", configure)
    if immediate:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _write_ahead(connection: sqlite3.Connection, busy_seconds: float) -> None:
    # Of two that switch a new file to WAL at once, one is refused without waiting: both hold the read lock that the
    # other one waits for (https://sqlite.org/c3ref/busy_handler.html; seen with SQLite 3.40.1).
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return
