"""A database by its SQLAlchemy URL, read in one transaction that can't write, through a cursor that streams.

PostgreSQL: READ ONLY, REPEATABLE READ, so that all queries of a report see the same moment, and a `statement_timeout`.
MySQL and MariaDB: READ ONLY. SQLite: the file is opened read-only, and other files can't be attached. Whatever it is,
the transaction is rolled back. Must never show a URL's password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Connection,
    CursorResult,
    Date,
    DateTime,
    Engine,
    Numeric,
    Text,
    bindparam,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from streams.report.binds import binds_of, for_sqlalchemy
from streams.report.deadline import Deadline
from streams.report.parameters import Value
from streams.report.source import BATCH_ROWS, Result
from tidemill.errors import ConfigError, HandlerError, Reject

if TYPE_CHECKING:
    from sqlalchemy import URL

_LOOK_AFTER_STEPS = 100_000
"""Steps of SQLite's machine, some milliseconds, between two looks at the clock."""
_SQLITE_PASSING = ("locked", "busy")
_SQLITE_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
}


class SqlSource:
    """A connection to one database.

    Args:
        name: What the report calls it.
        url: Its SQLAlchemy URL.
        deadline: When its queries have to be done.

    Raises:
        ConfigError: The URL can't be used.
    """

    def __init__(self, name: str, url: str, deadline: Deadline) -> None:
        self._name = name
        self._deadline = deadline
        self._engine = _engine(name, url, deadline)
        self._connection: Connection | None = None

    def run(self, sql: str, values: Mapping[str, Value]) -> Result:
        """As `Source.run`."""
        self._deadline.check()
        with self._errors():
            if self._connection is None:
                self._connection = self._connect()
            if self._engine.dialect.name == "postgresql":
                milliseconds = max(1, int(self._deadline.remaining_seconds * 1000))
                self._connection.execute(
                    text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(milliseconds)}
                )
            used = {bind.name for bind in binds_of(sql)}
            statement = text(for_sqlalchemy(sql)).bindparams(*(self._bind(name, values[name]) for name in sorted(used)))
            result = self._connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(statement)
        if not result.returns_rows:
            raise Reject(f"A query for {self._name!r} gives no rows.", hint="Reports only read: write a SELECT.")
        return Result(tuple(result.keys()), self._batches(result))

    def close(self) -> None:
        """As `Source.close`."""
        if self._connection is not None:
            with self._errors():
                self._connection.rollback()
                self._connection.close()
        self._engine.dispose()

    def _batches(self, result: CursorResult[Any]) -> Iterator[Sequence[Sequence[Any]]]:
        with self._errors():
            for rows in result.partitions(BATCH_ROWS):
                self._deadline.check()
                yield rows

    def _connect(self) -> Connection:
        match self._engine.dialect.name:
            case "postgresql":
                return self._engine.connect().execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            case "mysql" | "mariadb":
                connection = self._engine.connect()
                connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                connection.commit()
                return connection
        return self._engine.connect()

    def _bind(self, name: str, value: Value) -> BindParameter[Any]:
        if isinstance(value, Decimal) and self._engine.dialect.name == "sqlite":
            # SQLite has no decimals.
            return bindparam(name, float(value))
        return bindparam(name, value, type_=_type_of(value))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if self._deadline.passed:
                raise self._deadline.error() from error
            said = str(error.orig).strip().partition("\n")[0]
            if _is_passing(error, self._engine.dialect.name):
                raise HandlerError(f"The source {self._name!r} doesn't answer: {said}.", retriable=True) from error
            raise Reject(f"The source {self._name!r} refuses the query: {said}.") from error
        except SQLAlchemyError as error:
            raise Reject(f"The query for {self._name!r} can't be run: {error}.") from error


def _engine(name: str, url: str, deadline: Deadline) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return create_engine(
                "sqlite://", creator=lambda: _open_sqlite(parsed, deadline), poolclass=NullPool, echo=False
            )
        return create_engine(parsed, poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"The address of the source {name!r} can't be used: {error}.",
            hint="Write a SQLAlchemy URL, e.g. postgresql+psycopg://reader@db/shop or sqlite:///shop.db.",
        ) from error


def _open_sqlite(url: URL, deadline: Deadline) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(url.database or '')}?mode=ro", uri=True, timeout=10)
    connection.set_progress_handler(lambda: deadline.passed, _LOOK_AFTER_STEPS)
    connection.set_authorizer(_allows)
    return connection


def _allows(action: int, first: str | None, *_: str | None) -> int:
    # SQLAlchemy asks for its isolation when it connects.
    is_asked = action == sqlite3.SQLITE_PRAGMA and first == "read_uncommitted"
    return sqlite3.SQLITE_OK if is_asked or action in _SQLITE_READS else sqlite3.SQLITE_DENY


def _type_of(value: Value) -> Any:
    match value:
        case bool():
            return Boolean()
        case int():
            return BigInteger()
        case Decimal():
            return Numeric()
        case datetime():
            return DateTime(timezone=True)
        case date():
            return Date()
    return Text()


def _is_passing(error: DBAPIError, dialect: str) -> bool:
    """Whether another try may succeed: the connection was lost, or couldn't be made."""
    if dialect == "sqlite":
        return any(word in str(error.orig) for word in _SQLITE_PASSING)
    return error.connection_invalidated or type(error).__name__ in ("OperationalError", "InterfaceError")
