"""Whose transaction a row goes into: one of SQLAlchemy, psycopg, Django or sqlite3, told by its kind.

None of these libraries is imported: whoever passes a connection has it. What would commit by itself is refused, since
the event would be published even if what it tells of is rolled back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

from tidemill.errors import OutboxError
from tidemill.outbox.ddl import TABLE
from tidemill.outbox.row import COLUMNS, Row

CHANNEL = "tidemill_outbox"
"""Postgres tells it to the relays when a transaction with rows is committed."""

HOW = "Pass a Session or Connection of SQLAlchemy, a connection of psycopg, Django or sqlite3, in a transaction."

Run = Callable[[str, Sequence[Any]], Any]
"""Runs a statement with the values of several rows; gives something to await where the target is asynchronous."""


@lru_cache(maxsize=8)
def statement(dialect: str, style: str, notify: bool = True) -> str:
    """The statement that inserts a row.

    Args:
        dialect: `postgresql` or `sqlite`.
        style: How its driver names parameters: `named` (:lane), `format` (%s), `qmark` (?).
        notify: Tell the relays; Postgres lets commits of transactions that tell something pass one at a time.

    Raises:
        OutboxError: There is no outbox in that kind of database.
    """
    marks = {"named": [f":{name}" for name in COLUMNS], "format": ["%s"] * len(COLUMNS), "qmark": ["?"] * len(COLUMNS)}
    insert = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join(marks[style])})"
    if dialect == "sqlite" or (dialect == "postgresql" and not notify):
        return insert
    if dialect == "postgresql":
        # One round trip. However many rows a transaction writes, each relay is told once, when it commits.
        return f"WITH row AS ({insert} RETURNING lane) SELECT pg_notify('{CHANNEL}', lane::text) FROM row"
    raise OutboxError(f"There is no outbox in a database of kind {dialect!r}.", hint=HOW)


def insert(target: Any, rows: Sequence[Row], *, notify: bool) -> None:
    """Insert rows in the transaction of a synchronous target; `notify`: as `statement` has it.

    Raises:
        OutboxError: It is none of those known, is asynchronous, or would commit by itself.
    """
    kind = _kind(target)
    match kind:
        case "sqlalchemy":
            _sqlalchemy(target.connection() if _is_session(target) else target, rows, notify)
        case "psycopg":
            _refuse_autocommit(_psycopg_would_commit(target), "psycopg's autocommit is on, and no transaction is open")
            with target.cursor() as cursor:
                cursor.executemany(
                    statement("postgresql", "format", notify), [[*row.values().values()] for row in rows]
                )
        case "django":
            _refuse_autocommit(
                target.get_autocommit() and not target.in_atomic_block, "Django is outside of transaction.atomic()"
            )
            with target.cursor() as cursor:
                for row in rows:
                    cursor.execute(statement(target.vendor, "format", notify), [*row.values().values()])
        case "sqlite3":
            _refuse_autocommit(_sqlite3_would_commit(target), "sqlite3's autocommit is on, and no transaction is open")
            target.executemany(statement("sqlite", "qmark"), [[*row.values().values()] for row in rows])
        case "async":
            raise OutboxError(
                f"{_name(target)} is asynchronous.", hint="Use `await outbox.add_async(...)`, which it goes with."
            )
        case _:
            raise OutboxError(f"The outbox doesn't know what to do with {_name(target)}.", hint=HOW)


async def insert_async(target: Any, rows: Sequence[Row], *, notify: bool) -> None:
    """Insert rows in the transaction of an asynchronous target: AsyncSession, AsyncConnection, psycopg.AsyncConnection.

    Raises:
        OutboxError: It is none of those known, or would commit by itself.
    """
    if _kind(target) != "async":
        raise OutboxError(
            f"{_name(target)} isn't asynchronous, as far as the outbox knows.", hint="Use `outbox.add(...)` for it."
        )
    if _module(target) == "psycopg":
        _refuse_autocommit(_psycopg_would_commit(target), "psycopg's autocommit is on, and no transaction is open")
        async with target.cursor() as cursor:
            await cursor.executemany(
                statement("postgresql", "format", notify), [[*row.values().values()] for row in rows]
            )
        return
    # SQLAlchemy's own bridge: the same work on the synchronous connection beneath.
    connection: Any = await target.connection() if _is_session(target) else target
    running: Awaitable[None] = connection.run_sync(_sqlalchemy, rows, notify)
    await running


def _sqlalchemy(connection: Any, rows: Sequence[Row], notify: bool) -> None:
    from sqlalchemy import text

    # As Connection._is_autocommit_isolation of SQLAlchemy 2.0 finds out.
    level = connection.get_execution_options().get(
        "isolation_level", getattr(connection.dialect, "_on_connect_isolation_level", None)
    )
    _refuse_autocommit(level == "AUTOCOMMIT", "the connection's isolation level is AUTOCOMMIT")
    run = text(statement(connection.dialect.name, "named", notify))
    for row in rows:
        connection.execute(run, row.values())


def _kind(target: Any) -> str:
    module, name = _module(target), type(target).__name__
    if module in ("sqlalchemy", "sqlmodel") or _is_session(target):
        return "async" if name.startswith(("Async", "async_")) else "sqlalchemy"
    if module == "psycopg":
        return "async" if name.startswith("Async") else "psycopg"
    if module == "sqlite3":
        return "sqlite3"
    if hasattr(target, "vendor") and hasattr(target, "in_atomic_block"):
        return "django"
    return "unknown"


def _is_session(target: Any) -> bool:
    """Whether it is one of SQLAlchemy's sessions, which have a connection rather than being one."""
    return hasattr(type(target), "get_bind")


def _module(target: Any) -> str:
    for cls in type(target).__mro__:
        root = cls.__module__.partition(".")[0]
        if root in ("sqlalchemy", "psycopg", "sqlite3"):
            return root
    return type(target).__module__.partition(".")[0]


def _psycopg_would_commit(connection: Any) -> bool:
    # pq.TransactionStatus.IDLE is 0.
    return bool(connection.autocommit) and int(connection.info.transaction_status) == 0


def _sqlite3_would_commit(connection: Any) -> bool:
    # Up to Python 3.11 isolation_level alone decides; from 3.12 on `autocommit` does, unless it is LEGACY (-1).
    autocommit = getattr(connection, "autocommit", -1)
    by_itself = connection.isolation_level is None if autocommit == -1 else bool(autocommit)
    return by_itself and not connection.in_transaction


def _refuse_autocommit(would_commit: bool, found: str) -> None:
    if would_commit:
        raise OutboxError(
            f"The row would be committed by itself: {found}.",
            hint="Open a transaction first, and add the event in the same one as what it tells of.",
        )


def _name(target: Any) -> str:
    return f"{type(target).__module__}.{type(target).__qualname__}"
