"""The database of the notification stream: SQLite in WAL mode, or Postgres; its tables are made at first use.

Whatever fails there is DirectoryUnavailable, so that events wait and no try is counted. Must never show a password,
nor the values of a statement: addresses hold secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from streams.notification.settings import NotificationSettings
from streams.notification.tables import DELIVERIES, METADATA, SCHEMA, VERSION
from tidemill.config import Settings
from tidemill.database import is_in_memory, postgres_engine, read_url, sqlite_engine
from tidemill.errors import ConfigError, LedgerUnavailable

FILE = "notifications.db"
BUSY_SECONDS = 5.0
STATEMENT_SECONDS = 10
MAKING_LOCK = 0x74696E6F
"""Number of the advisory lock under which Postgres makes the tables; any number that others don't use."""


class DirectoryUnavailable(LedgerUnavailable):
    """The directory of recipients didn't answer, or can't be used as it is; the event waits, and no try is counted."""


class Database:
    """Where recipients, addresses and what waits are; connects when it is first used.

    Args:
        settings: The stream's.
        core: Where state is kept by default.

    Raises:
        ConfigError: The URL means no database that can be used.
    """

    def __init__(self, settings: NotificationSettings, core: Settings) -> None:
        url = _url(settings, core)
        self.shown = url.render_as_string(hide_password=True)
        self.takes_one_writer = url.get_backend_name() == "sqlite"
        # A notice whose event is committed mustn't be taken back by a power cut.
        self._engine = (
            sqlite_engine(url, busy_seconds=BUSY_SECONDS, synchronous="FULL", immediate=True)
            if self.takes_one_writer
            else _postgres(url)
        )
        self._is_made = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that can write; it is committed at the end of the block.

        Raises:
            DirectoryUnavailable: The database didn't answer as it should.
        """
        try:
            if not self._is_made:
                with self._engine.begin() as connection:
                    _make(connection)
                self._is_made = True
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            # SQLAlchemy's own text has the statement and its values.
            said = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
            raise DirectoryUnavailable(
                f"The directory of recipients ({self.shown}) didn't answer as it should: {said}",
                hint="Until it does, notices wait.",
            ) from None

    def close(self) -> None:
        """Close its connections; it can be used again."""
        self._engine.dispose()


def _make(connection: Connection) -> None:
    # In Postgres even CREATE TABLE IF NOT EXISTS fails when two do it at once.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MAKING_LOCK})
    if inspect(connection).has_table(SCHEMA.name):
        version = connection.scalar(SCHEMA.select())
        if version == 1:
            connection.execute(text(f"ALTER TABLE {DELIVERIES.name} ADD COLUMN tries INTEGER NOT NULL DEFAULT 0"))
            connection.execute(SCHEMA.update().values(version=VERSION))
            return
        if version != VERSION:
            raise DirectoryUnavailable(
                f"The directory of recipients is of version {version}, expected {VERSION}.",
                hint="Run the same version of Tidemill everywhere.",
            )
        return
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(SCHEMA.insert(), {"version": VERSION})


def _url(settings: NotificationSettings, core: Settings) -> URL:
    if settings.directory_url is None:
        return URL.create("sqlite", database=str((core.state_dir / FILE).absolute()))
    expected = "Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/notifications.db."
    try:
        url = read_url(settings.directory_url)
    except ArgumentError:
        # Without what was found: there may be a password in it.
        raise ConfigError("TIDEMILL_NOTIFICATION_DIRECTORY_URL is no URL of a database.", hint=expected) from None
    is_file = url.get_backend_name() == "sqlite" and not is_in_memory(url)
    if not is_file and url.get_backend_name() != "postgresql":
        raise ConfigError(
            f"TIDEMILL_NOTIFICATION_DIRECTORY_URL can't be {url.render_as_string(hide_password=True)}.", hint=expected
        )
    return url


def _postgres(url: URL) -> Engine:
    return postgres_engine(
        url,
        application="tidemill notification",
        connect_seconds=5,
        parameters={
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{int(BUSY_SECONDS)}s",
            "idle_in_transaction_session_timeout": f"{2 * STATEMENT_SECONDS}s",
        },
        pool_size=2,
        max_overflow=2,
        pool_pre_ping=True,
    )
