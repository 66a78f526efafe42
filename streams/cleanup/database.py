"""One run's connection to the database of a policy, SQLite or PostgreSQL, and what its errors mean.

All of a run goes through one connection, whose end is the end of the run's lock. Must never create a database, wait
without a limit, or show a password.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tidemill.errors import ConfigError, HandlerError, Reject, RetryAfter

if TYPE_CHECKING:
    from streams.cleanup.policy import RowsPolicy

CONNECT_SECONDS = 5
RETRY_SECONDS = 15.0
"""How long a run waits before its next try where the database is away, busy, or at work on the same policy."""
IDLE_SECONDS = 300
"""The server ends a connection of a run that does nothing for so long: its process stands still or is cut off."""

# Classes of SQLSTATE after which the same statement may succeed: connection, transaction undone, resources, in use,
# intervention, system error (PostgreSQL, appendix A).
_PASSING_CLASSES = ("08", "40", "53", "55", "57", "58")
_PASSING_CODES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)


class Database:
    """A connection; made by `open_database`.

    Args:
        connection: Nothing was done with it yet.
        policy: Whose limits of time hold.
    """

    def __init__(self, connection: sa.Connection, policy: RowsPolicy) -> None:
        self._connection = connection
        self._policy = policy
        self.is_postgres = connection.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction in which the database itself refuses to write.

        Raises:
            RetryAfter: The database didn't answer, or not in time.
            Reject: It refuses for good, e.g. because a condition makes no sense or tries to write.
        """
        with self._translated():
            if self.is_postgres:
                with self._connection.begin():
                    self._connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                    self._limit()
                    yield self._connection
                return
            with self._connection.begin():
                self._connection.exec_driver_sql("PRAGMA query_only = ON")
                try:
                    yield self._connection
                finally:
                    self._connection.exec_driver_sql("PRAGMA query_only = OFF")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block; raises what `reading` raises, the commit included."""
        self._connection.info["write"] = True
        try:
            with self._translated(), self._connection.begin():
                if self.is_postgres:
                    self._limit()
                yield self._connection
        finally:
            self._connection.info["write"] = False

    def claim(self) -> None:
        """Take PostgreSQL's advisory lock of this policy and table, for as long as the connection lives.

        Raises:
            RetryAfter: Another run has it.
        """
        name = f"tidemill cleanup {self._policy.name} {self._policy.table}"
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        with self._translated(), self._connection.begin():
            if (self._connection.dialect.server_version_info or (0,)) >= (14,):
                idle = sa.func.set_config("idle_session_timeout", f"{IDLE_SECONDS}s", False)
                self._connection.execute(sa.select(idle))
            if not self._connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
                raise under_way(self._policy.name)

    def _limit(self) -> None:
        limits = {
            "lock_timeout": f"{int(self._policy.lock_seconds * 1000)}ms",
            "statement_timeout": f"{int(self._policy.statement_seconds * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        }
        for name, value in limits.items():
            self._connection.execute(sa.select(sa.func.set_config(name, value, True)))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _meaning(error, self._policy) from error


@contextmanager
def open_database(url: str, policy: RowsPolicy) -> Iterator[Database]:
    """Connect for one run.

    Args:
        url: As SQLAlchemy has it: `sqlite:` or `postgresql:`.
        policy: For its limits of time, and for messages.

    Raises:
        ConfigError: The URL means no database that can be used.
        RetryAfter: It doesn't answer.
        Reject: It refuses.
    """
    engine = _engine(url, policy)
    try:
        try:
            connection = engine.connect()
        except DBAPIError as error:
            raise _meaning(error, policy) from error
        with connection:
            yield Database(connection, policy)
    finally:
        engine.dispose()


def under_way(policy: str) -> RetryAfter:
    """The answer to a run while another one of the same policy is under way."""
    return RetryAfter(RETRY_SECONDS, f"Another run of the policy {policy!r} is under way.", hint="It waits for that.")


def _engine(url: str, policy: RowsPolicy) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        # Without what was found: there may be a password in it.
        raise ConfigError(
            f"The URL of database {policy.database!r} can't be read.",
            hint="Expected e.g. postgresql+psycopg://user:password@host/database, or sqlite:////var/lib/app.db.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, policy)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "postgresql+psycopg":
        raise ConfigError(
            f"Database {policy.database!r} is {parsed.drivername!r}, expected PostgreSQL (psycopg) or SQLite.",
            hint="Its URL begins with postgresql+psycopg:// or sqlite://.",
        )
    try:
        return _postgres(parsed)
    except ImportError as error:
        raise ConfigError("PostgreSQL needs psycopg.", hint="pip install 'tidemill[cleanup]'") from error


def _postgres(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        hide_parameters=True,
        poolclass=sa.NullPool,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "tidemill cleanup",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


def _sqlite(url: sa.URL, policy: RowsPolicy) -> sa.Engine:
    path = url.database
    if path in (None, "", ":memory:"):
        raise ConfigError(f"Policy {policy.name!r} names a database in memory.", hint="Write sqlite:////path/app.db.")
    # "rw": a name that is wrong must not become a new, empty database.
    address = f"file:{quote(str(Path(path or '').absolute()))}?mode=rw"
    engine = sa.create_engine(
        "sqlite://",
        hide_parameters=True,
        poolclass=sa.NullPool,
        creator=lambda: sqlite3.connect(
            address, uri=True, timeout=policy.lock_seconds, isolation_level=None, check_same_thread=False
        ),
    )
    deadline = time.monotonic() + policy.statement_seconds

    def configure(connection: Any, _: Any) -> None:
        # SQLite looks at foreign keys only where it is told to, connection by connection.
        connection.execute("PRAGMA foreign_keys = ON")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)

    def begin_statement(*_: Any) -> None:
        nonlocal deadline
        deadline = time.monotonic() + policy.statement_seconds

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("write") else "BEGIN")

    sa.event.listen(engine, "connect", configure)
    sa.event.listen(engine, "before_cursor_execute", begin_statement)
    sa.event.listen(engine, "begin", begin)
    return engine


def _meaning(error: DBAPIError, policy: RowsPolicy) -> HandlerError:
    """What an error of the database means for an event: wait, or never."""
    said = " ".join(str(error.orig).split())
    where = f"policy {policy.name!r}, table {str(policy.table)!r}"
    state = getattr(error.orig, "sqlstate", None)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if state == "23503" or code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return Reject(
            f"Rows that {where} means can't go, for other rows refer to them: {said}.",
            hint="Clean up the table that refers to them first, or leave them out by the condition.",
        )
    if state is not None:
        is_passing = state[:2] in _PASSING_CLASSES
    elif code is not None:
        is_passing = code & 0xFF in _PASSING_CODES
    else:
        # psycopg gives no code where there is no connection.
        is_passing = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) or error.connection_invalidated
    if is_passing:
        return RetryAfter(RETRY_SECONDS, f"The database of {where} didn't do it now: {said}.")
    return Reject(
        f"The database refuses what {where} asks: {said}.", hint="Correct the policy, then redrive the event."
    )
