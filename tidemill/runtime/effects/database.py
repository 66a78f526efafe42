"""The connection to the ledger's database: SQLite in WAL mode, or Postgres.

Whatever fails there is LedgerUnavailable, so that events wait for it; it never shows a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tidemill.database import is_in_memory, is_of_driver, postgres_engine, read_url, said, sqlite_engine
from tidemill.errors import LedgerUnavailable

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from tidemill.config import Settings

FILE = "effects.db"
BUSY_SECONDS = 5.0
"""How long SQLite waits for its one writer, and Postgres for a lock."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10


class Database:
    """The ledger's database; connects when it is first used, and makes the tables then.

    Args:
        settings: Where it is.

    Raises:
        LedgerUnavailable: The URL means no database that this process can use.
    """

    def __init__(self, settings: Settings) -> None:
        with translated("the ledger of effects"):
            url = _url(settings)
            self.shown = url.render_as_string(hide_password=True)
            # An intent that a power cut takes back would be an effect that happens twice.
            self._engine = (
                sqlite_engine(url, busy_seconds=BUSY_SECONDS, synchronous="FULL", immediate=True)
                if url.get_backend_name() == "sqlite"
                else _postgres(url)
            )
        self.lease_seconds = settings.effects_lease_seconds
        """Without a sign of life for so long an owner counts as dead."""
        self._is_made = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that can write; it is committed at the end of the block.

        Raises:
            LedgerUnavailable: Anything that went wrong, the commit included, whose effect isn't known then.
        """
        from tidemill.runtime.effects.tables import is_there, make

        with translated(self.shown):
            if not self._is_made:
                with self._engine.connect() as connection:
                    self._is_made = is_there(connection)
            if not self._is_made:
                with self._engine.begin() as connection:
                    make(connection)
                self._is_made = True
            with self._engine.begin() as connection:
                yield connection

    def close(self) -> None:
        """Close its connections; it can be used again."""
        self._engine.dispose()


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what the database says into LedgerUnavailable."""
    try:
        yield
    except ImportError as error:
        raise LedgerUnavailable(
            f"The ledger of effects needs {error.name or error}, which isn't installed.",
            hint="pip install 'tidemill[effects]'",
        ) from error
    except LedgerUnavailable:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_of_driver(error):
            raise
        raise LedgerUnavailable(
            f"The ledger of effects ({where}) didn't answer as it should: {said(error)}",
            hint="Until it does, events with effects wait; nothing is done twice meanwhile.",
        ) from error


def _url(settings: Settings) -> URL:
    from sqlalchemy import URL

    if settings.effects_url is None:
        return URL.create("sqlite", database=str((settings.state_dir / FILE).absolute()))
    try:
        url = read_url(settings.effects_url)
    except Exception as error:
        # Without what was found: there may be a password in it.
        raise LedgerUnavailable(
            "TIDEMILL_EFFECTS_URL is no URL of a database.",
            hint="Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/effects.db.",
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise LedgerUnavailable(
            f"The ledger of effects can't be in {url.get_backend_name()!r}.",
            hint="TIDEMILL_EFFECTS_URL takes postgresql+psycopg://... or sqlite:///...",
        )
    if is_in_memory(url):
        raise LedgerUnavailable(
            "A ledger in memory forgets what has happened when its worker ends.",
            hint="Give TIDEMILL_EFFECTS_URL a file, as in sqlite:////var/lib/effects.db.",
        )
    return url


def _postgres(url: URL) -> Engine:
    return postgres_engine(
        url,
        application="tidemill effects",
        connect_seconds=CONNECT_SECONDS,
        silence_seconds=STATEMENT_SECONDS,
        parameters={
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{int(BUSY_SECONDS)}s",
            "idle_in_transaction_session_timeout": f"{2 * STATEMENT_SECONDS}s",
        },
        pool_size=1,
        max_overflow=1,
    )
