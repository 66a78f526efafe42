"""The connection to the outbox's database: Postgres, or SQLite.

What fails there is OutboxUnavailable; no message shows a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tidemill.database import is_in_memory, is_of_driver, postgres_engine, read_url, said
from tidemill.errors import ConfigError, OutboxError, OutboxUnavailable
from tidemill.outbox.ddl import IDENTITY

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from producers.outbox.settings import OutboxSettings

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
BUSY_SECONDS = 10.0
"""How long SQLite waits for its one writer."""
_MISSING = ("no such table", "UndefinedTable")


class Database:
    """The outbox's database; opens connections when they are asked for.

    Args:
        settings: Where it is.

    Raises:
        ConfigError: The URL is missing, or means no database that can have an outbox.
    """

    def __init__(self, settings: OutboxSettings) -> None:
        url = _url(settings)
        self.dialect = url.get_backend_name()
        self.file = url.database if self.dialect == "sqlite" else None
        """SQLite's file."""
        self.shown = url.render_as_string(hide_password=True)
        self._engine = _sqlite(url) if self.dialect == "sqlite" else _postgres(url)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for this block; `begin` gives it transactions.

        Raises:
            OutboxUnavailable: The database didn't answer as it should, also within the block.
        """
        with self.translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what the database says into OutboxError or OutboxUnavailable."""
        try:
            yield
        except Exception as error:
            if not is_of_driver(error):
                raise
            cause = getattr(error, "orig", None) or error
            if any(sign in f"{type(cause).__name__} {said(error)}" for sign in _MISSING):
                raise OutboxError(
                    f"There is no outbox in {self.shown}: {said(error)}",
                    hint=f"Make its tables there: `tidemill outbox schema --dialect {self.dialect}` prints the SQL.",
                ) from error
            raise OutboxUnavailable(
                f"The outbox's database ({self.shown}) didn't answer as it should: {said(error)}",
                hint="Its rows stay where they are until it does.",
            ) from error

    def identity(self) -> str:
        """The outbox's own id, made with its table: by it a relay knows which transactions in Kafka were its.

        Raises:
            OutboxError: There is none.
            OutboxUnavailable: The database didn't answer.
        """
        from sqlalchemy import text

        with self.connect() as connection:
            found = connection.execute(text(f"SELECT id FROM {IDENTITY}")).scalars().all()
        if len(found) != 1:
            raise OutboxError(f"Table {IDENTITY} in {self.shown} must have one row, found {len(found)}.")
        return str(found[0])

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def _url(settings: OutboxSettings) -> URL:
    if settings.url is None:
        raise ConfigError(
            "TIDEMILL_OUTBOX_URL isn't set: which database is the outbox in?",
            hint="Set e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/shop.db.",
        )
    try:
        url = read_url(settings.url)
    except Exception as error:
        # Without what was found: there may be a password in it.
        raise ConfigError("TIDEMILL_OUTBOX_URL is no URL of a database.") from error
    if url.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise ConfigError(
            f"TIDEMILL_OUTBOX_URL names {url.drivername!r}, which the relay doesn't know.",
            hint="It takes postgresql+psycopg://... and sqlite:///...",
        )
    if is_in_memory(url):
        raise ConfigError("An outbox in memory can't be seen by a relay.", hint="Name a file: sqlite:////var/lib/x.db.")
    return url


def _sqlite(url: URL) -> Engine:
    from pathlib import Path

    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}, poolclass=NullPool)

    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def must_exist(*_: Any) -> None:
        if not Path(url.database or "").exists():
            raise OutboxUnavailable(f"There is no file {url.database}.", hint="The service that writes to it makes it.")

    event.listen(engine, "do_connect", must_exist)
    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _postgres(url: URL) -> Engine:
    from sqlalchemy.pool import NullPool

    return postgres_engine(
        url,
        application="tidemill outbox relay",
        connect_seconds=CONNECT_SECONDS,
        silence_seconds=STATEMENT_SECONDS,
        parameters={"statement_timeout": f"{STATEMENT_SECONDS}s"},
        # A lane's lock lives as long as its connection.
        poolclass=NullPool,
    )
