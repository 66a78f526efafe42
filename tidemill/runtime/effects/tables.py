"""The ledger's tables, and how they come into being: at first use, also when many use it first at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from tidemill.errors import LedgerUnavailable

VERSION = 1
MAKING_LOCK = 0x7469646D
"""Number of the advisory lock under which Postgres makes the tables; any number that others don't use."""

METADATA = MetaData()

EFFECTS = Table(
    "tidemill_effects",
    METADATA,
    Column("event_id", String(400), primary_key=True),
    Column("scope", String(400), primary_key=True),
    Column("key", String(400), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("policy", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(32), nullable=False),
    Column("claim", BigInteger, nullable=False),
    Column("owner_name", String(400), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("result", Text),
    Column("note", Text),
    Index("tidemill_effects_by_state", "state", "started_ms"),
)

OWNERS = Table(
    "tidemill_effect_owners",
    METADATA,
    Column("owner", String(32), primary_key=True),
    Column("place", String(400)),
    Column("beats", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

LEDGER = Table("tidemill_effect_ledger", METADATA, Column("version", Integer, primary_key=True))


def now_ms(connection: Connection) -> ColumnElement[int]:
    """The database's own time, as an expression: milliseconds since 1970."""
    if connection.dialect.name == "sqlite":
        return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger())
    return literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", BigInteger())


def is_there(connection: Connection) -> bool:
    """Whether the tables are there.

    Raises:
        LedgerUnavailable: They are of another version.
    """
    if not inspect(connection).has_table(LEDGER.name):
        return False
    version = connection.scalar(select(func.max(LEDGER.c.version)))
    if version is None:
        return False
    if version != VERSION:
        raise LedgerUnavailable(
            f"The ledger of effects is of version {version}, expected {VERSION}.",
            hint="Run the same version of Tidemill everywhere, or give this one a ledger of its own (effects_url).",
        )
    return True


def make(connection: Connection) -> None:
    """Make the tables, in a transaction that the caller has begun; does nothing where they are there.

    Raises:
        LedgerUnavailable: They are of another version.
    """
    # In Postgres even CREATE TABLE IF NOT EXISTS fails when two do it at once, and where one may make no tables at all.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MAKING_LOCK})
    if is_there(connection):
        return
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(insert(LEDGER), {"version": VERSION})


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that may go on with `on_conflict_do_...`, of this database's dialect."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert(table)
