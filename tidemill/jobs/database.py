"""The connection to the table of jobs: SQLite in WAL mode, or Postgres.

Whatever fails there is StatusUnavailable; it never shows a password. A commit isn't flushed to the disk: offsets are in
the same transaction as what they stand for, so that what a power cut takes back is folded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.database import is_in_memory, is_of_driver, postgres_engine, read_url, said, sqlite_engine
from tidemill.errors import ConfigError, StatusUnavailable, TidemillError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from tidemill.config import Settings

FILE = "status.db"
BUSY_SECONDS = 10.0
"""How long SQLite waits for its one writer, and Postgres for a lock."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60


class Database:
    """The database that the tables of jobs are in; connects when it is first used.

    Args:
        settings: Where it is.
        file: A SQLite file to use instead.

    Raises:
        ConfigError: What it needs isn't installed, or the URL means no database that can be used.
    """

    def __init__(self, settings: Settings, *, file: Path | None = None) -> None:
        try:
            url = _url(settings, file)
            self.shown = url.render_as_string(hide_password=True)
            self.is_sqlite = url.get_backend_name() == "sqlite"
            self._file = Path(url.database or "") if self.is_sqlite else None
            self._engine = (
                sqlite_engine(url, busy_seconds=BUSY_SECONDS, synchronous="NORMAL")
                if self.is_sqlite
                else _postgres(url)
            )
        except ImportError as error:
            raise ConfigError(
                f"To know of jobs takes {error.name or error}, which isn't installed.",
                hint="pip install 'tidemill[status]'",
            ) from error
        self._is_made = False

    @property
    def exists(self) -> bool:
        """Whether the database is there; one on a server is taken to be."""
        return self._file is None or self._file.exists()

    @property
    def has_tables(self) -> bool:
        """Whether the tables are there, of whatever version."""
        from tidemill.jobs.tables import version_of

        with self._translated(), self._engine.connect() as connection:
            return version_of(connection) is not None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the tables; makes nothing.

        Raises:
            StatusUnavailable: They aren't there, or the database doesn't answer.
        """
        from tidemill.jobs.tables import is_there

        with self._translated():
            if not self.exists:
                raise self.absent()
            with self._engine.connect() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql("BEGIN")
                if not self._is_made:
                    if not is_there(connection):
                        raise self.absent()
                    self._is_made = True
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that can write; it is committed at the end of the block. Makes the tables if need be.

        Raises:
            StatusUnavailable: Anything that went wrong, the commit included, whose effect isn't known then.
        """
        from tidemill.jobs.tables import is_there, make

        with self._translated():
            if not self._is_made:
                with self.exclusive() as connection:
                    if not is_there(connection):
                        make(connection)
                self._is_made = True
            with self.exclusive() as connection:
                yield connection

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """As `writing`, whatever tables there are."""
        with self._translated(), self._engine.begin() as connection:
            if self.is_sqlite:
                # The driver's own transactions begin late and let two read before both write.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def absent(self) -> StatusUnavailable:
        """The error for "there are no tables"."""
        return StatusUnavailable(
            f"There is no table of jobs in {self.shown}.",
            hint="Run the program that keeps it, `tidemill tracker`, or set TIDEMILL_STATUS_URL to where it does.",
        )

    def close(self) -> None:
        """Close its connections; it can be used again."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TidemillError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not is_of_driver(error):
                raise
            raise StatusUnavailable(
                f"The table of jobs ({self.shown}) didn't answer as it should: {said(error)}",
                hint="Check TIDEMILL_STATUS_URL and the database; the jobs themselves go on.",
            ) from error


def _url(settings: Settings, file: Path | None) -> URL:
    from sqlalchemy import URL

    if file is not None or settings.status_url is None:
        path = file or settings.state_dir / FILE
        return URL.create("sqlite", database=str(path.absolute()))
    try:
        url = read_url(settings.status_url)
    except Exception as error:
        # Without what was found: there may be a password in it.
        raise ConfigError(
            "TIDEMILL_STATUS_URL is no URL of a database.",
            hint="Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/status.db.",
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"The table of jobs can't be in {url.get_backend_name()!r}.",
            hint="TIDEMILL_STATUS_URL takes postgresql+psycopg://... or sqlite:///...",
        )
    if is_in_memory(url):
        raise ConfigError(
            "A table of jobs in memory can be read by nobody else.",
            hint="Give TIDEMILL_STATUS_URL a file, as in sqlite:////var/lib/status.db.",
        )
    return url


def _postgres(url: URL) -> Engine:
    return postgres_engine(
        url,
        application="tidemill status",
        connect_seconds=CONNECT_SECONDS,
        silence_seconds=STATEMENT_SECONDS,
        parameters={
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{int(BUSY_SECONDS)}s",
            "idle_in_transaction_session_timeout": f"{2 * STATEMENT_SECONDS}s",
            "synchronous_commit": "off",
        },
        pool_size=2,
        max_overflow=8,
    )
