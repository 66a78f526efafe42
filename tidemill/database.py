"""Databases that programs keep their tables in, SQLite or Postgres: reached in one way by all of them.

Needs SQLAlchemy. Knows no tables; those who keep some make them, and say in their own errors what went wrong.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import URL, Engine

RETRY_SECONDS = 0.005
_DRIVERS = ("sqlalchemy", "sqlite3", "psycopg", "psycopg_binary")


def read_url(secret: SecretStr) -> URL:
    """A database's URL as it was configured, with the driver that is installed for Postgres.

    Raises:
        Exception: It is no URL; says so with what was found, in which there may be a password.
    """
    from sqlalchemy import make_url

    url = make_url(secret.get_secret_value())
    # As most providers write it; without a driver SQLAlchemy would look for psycopg2.
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def is_in_memory(url: URL) -> bool:
    """Whether it is a SQLite database that no other process can see."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def is_of_driver(error: BaseException) -> bool:
    """Whether SQLAlchemy or a driver raised it; any other error is a fault of ours, which no waiting would mend."""
    return type(error).__module__.partition(".")[0] in _DRIVERS


def said(error: BaseException) -> str:
    """What the database itself said, on one line: SQLAlchemy adds the statement and its values, perhaps private."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def sqlite_engine(
    url: URL,
    *,
    busy_seconds: float,
    synchronous: Literal["FULL", "NORMAL"],
    immediate: bool = False,
    **engine_options: Any,
) -> Engine:
    """An engine on a file in WAL mode, which is made where it isn't there, readable by its owner alone.

    Args:
        url: With the path of the file as its database.
        busy_seconds: How long to wait for another writer.
        synchronous: FULL where a power cut must not take back what was committed; NORMAL where it may.
        immediate: Transactions take the write lock at their beginning, so that two don't both read and then both write.
        **engine_options: As `sqlalchemy.create_engine`.
    """
    from sqlalchemy import create_engine, event

    path = Path(url.database or "")
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds}, **engine_options)

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


def postgres_engine(
    url: URL,
    *,
    application: str,
    connect_seconds: int,
    parameters: Mapping[str, str],
    silence_seconds: int | None = None,
    **engine_options: Any,
) -> Engine:
    """An engine on a Postgres.

    Args:
        url: With psycopg as its driver.
        application: What the server calls its connections.
        connect_seconds: How long to wait for one.
        parameters: The server's own, by its names, for these connections.
        silence_seconds: A server that takes nothing for so long is given up; None for what the system does by itself.
        **engine_options: As `sqlalchemy.create_engine`.
    """
    from sqlalchemy import create_engine

    watch: dict[str, Any] = {}
    if silence_seconds is not None:
        watch = {
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": silence_seconds * 1000,
        }
    return create_engine(
        url,
        hide_parameters=True,
        connect_args={
            "connect_timeout": connect_seconds,
            "application_name": application,
            **watch,
            "options": " ".join(f"-c {name}={value}" for name, value in parameters.items()),
        },
        **engine_options,
    )
