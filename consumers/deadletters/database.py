"""The connection to the index of dead letters: SQLite in WAL mode, or Postgres. What fails there is IndexUnavailable.

A commit isn't flushed to the disk: offsets are in the same transaction as what they stand for, so that what a power cut
takes back is read again. No message shows a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.database import is_in_memory, is_of_driver, postgres_engine, read_url, said, sqlite_engine
from tidemill.errors import ConfigError, IndexUnavailable, TidemillError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from consumers.deadletters.settings import DeadSettings
    from tidemill.config import Settings

BUSY_SECONDS = 30.0
"""How long SQLite waits for another writer, and Postgres for a lock."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 120


class Database:
    """The database that the index is in; connects when it is first used, and makes the tables if need be.

    Args:
        settings: For the folder of its file.
        dead_settings: For its URL.

    Raises:
        ConfigError: What it needs isn't installed, or the URL means no database that can be used.
    """

    def __init__(self, settings: Settings, dead_settings: DeadSettings) -> None:
        try:
            url = _url(settings, dead_settings)
            self.shown = url.render_as_string(hide_password=True)
            self.is_sqlite = url.get_backend_name() == "sqlite"
            self._file = Path(url.database or "") if self.is_sqlite else None
            self._engine = _sqlite(url) if self.is_sqlite else _postgres(url)
        except ImportError as error:
            raise ConfigError(
                f"The dead-letter desk takes {error.name or error}, which isn't installed.",
                hint="pip install 'tidemill[deadletters]'",
            ) from error
        self._is_made = False

    @property
    def exists(self) -> bool:
        """Whether the database is there; one on a server is taken to be."""
        return self._file is None or self._file.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the tables, and can change nothing.

        Raises:
            IndexUnavailable: The database doesn't answer.
        """
        self._make()
        with self._translated(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.exec_driver_sql("BEGIN")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                connection.rollback()
                if self.is_sqlite:
                    connection.exec_driver_sql("PRAGMA query_only = OFF")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that alone may write; it is committed at the end of the block.

        Raises:
            IndexUnavailable: Anything that went wrong, the commit included.
        """
        self._make()
        with self._translated(), self._engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("LOCK TABLE tidemill_dead_tables IN EXCLUSIVE MODE")
            yield connection

    def clear(self) -> None:
        """Drop the tables and make them anew.

        Raises:
            IndexUnavailable: The database doesn't answer; then they are as they were.
        """
        from consumers.deadletters.tables import METADATA, make

        with self._translated(), self._engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            METADATA.drop_all(connection)
            make(connection)
        self._is_made = True

    def close(self) -> None:
        """Close its connections; it can be used again."""
        self._engine.dispose()

    def _make(self) -> None:
        from consumers.deadletters.tables import VERSION, make, version_of

        if self._is_made:
            return
        with self._translated(), self._engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            if version_of(connection) != VERSION:
                if self.is_sqlite:
                    connection.exec_driver_sql("COMMIT")
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                make(connection)
        self._is_made = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TidemillError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not is_of_driver(error):
                raise
            raise IndexUnavailable(
                f"The index of dead letters ({self.shown}) didn't answer as it should: {said(error)}",
                hint="Check TIDEMILL_DEAD_URL and the database; `tidemill dead index --rebuild` makes the index anew.",
            ) from error


def _url(settings: Settings, dead_settings: DeadSettings) -> URL:
    from sqlalchemy import URL

    if dead_settings.url is None:
        # Names in the index are without the namespace, so that each has a file of its own.
        name = f"dead-{settings.namespace.rstrip('.')}.db" if settings.namespace else "dead.db"
        return URL.create("sqlite", database=str((settings.state_dir / name).absolute()))
    try:
        url = read_url(dead_settings.url)
    except Exception as error:
        # Without what was found: there may be a password in it.
        raise ConfigError(
            "TIDEMILL_DEAD_URL is no URL of a database.",
            hint="Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/dead.db.",
        ) from error
    if url.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise ConfigError(
            f"The index of dead letters can't be in {url.drivername!r}.",
            hint="TIDEMILL_DEAD_URL takes postgresql+psycopg://... or sqlite:///...",
        )
    if is_in_memory(url):
        raise ConfigError(
            "An index in memory would be read anew by each command.",
            hint="Give TIDEMILL_DEAD_URL a file, as in sqlite:////var/lib/dead.db.",
        )
    return url


def _sqlite(url: URL) -> Engine:
    from sqlalchemy import event

    engine = sqlite_engine(url, busy_seconds=BUSY_SECONDS, synchronous="NORMAL")
    # Of a million letters the index that the list reads has 100 MB.
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA cache_size = -32000"))
    return engine


def _postgres(url: URL) -> Engine:
    return postgres_engine(
        url,
        application="tidemill dead",
        connect_seconds=CONNECT_SECONDS,
        parameters={
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{int(BUSY_SECONDS)}s",
            "synchronous_commit": "off",
        },
    )
