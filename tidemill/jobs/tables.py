"""The tables of jobs, and how they come into being: at first use, also when many use them first at once.

The tracker writes them, `queries` reads them. A change of their form, or of what the tracker makes of events, is a new
VERSION: then the tracker makes them anew from the topics.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from tidemill.errors import StatusUnavailable

VERSION = 1
MAKING_LOCK = 0x7469646A
"""Number of the advisory lock under which Postgres makes the tables; any number that others don't use."""

METADATA = MetaData()

JOBS = Table(
    "tidemill_jobs",
    METADATA,
    Column("job_id", String(400), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("type", String(400)),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),
    Column("finished", Integer, nullable=False),
    Index("tidemill_jobs_by_state", "state", "updated_ms"),
    Index("tidemill_jobs_by_time", "updated_ms"),
)

EVENTS = Table(
    "tidemill_job_events",
    METADATA,
    Column("event_id", String(400), primary_key=True),
    Column("job_id", String(400), primary_key=True),
    Column("type", String(400)),
    Column("cause", String(400)),
    # None as long as it is only known by what refers to it.
    Column("state", String(16)),
    Column("created_ms", BigInteger),
    Column("updated_ms", BigInteger, nullable=False),
    # For readers, as JSON: what there is to say beside the state.
    Column("detail", Text),
    # Of results, as JSON.
    Column("payload", Text),
    # The tracker's own: what it has seen, as JSON.
    Column("facts", Text, nullable=False),
    Index("tidemill_job_events_by_job", "job_id", "state"),
)

PARCELS = Table(
    "tidemill_job_parcels",
    METADATA,
    Column("key", String(400), primary_key=True),
    Column("job_id", String(400), nullable=False),
    Column("event_id", String(400), nullable=False),
    Column("parcel", Text, nullable=False),
    Index("tidemill_job_parcels_by_job", "job_id"),
)
"""What waits on `schedule.delayed`: of whom the record is that a tombstone removes."""

OFFSETS = Table(
    "tidemill_job_offsets",
    METADATA,
    Column("topic", String(300), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

MADE = Table(
    "tidemill_job_tables",
    METADATA,
    Column("version", Integer, primary_key=True),
    # Counts how often all rows were exchanged: whoever is folding then has to begin at other offsets.
    Column("generation", Integer, nullable=False),
)


def version_of(connection: Connection) -> int | None:
    """Version of the tables; None where there are none."""
    if not inspect(connection).has_table(MADE.name):
        return None
    found: int | None = connection.scalar(select(MADE.c.version))
    return found


def is_there(connection: Connection) -> bool:
    """Whether the tables are there.

    Raises:
        StatusUnavailable: They are of another version.
    """
    version = version_of(connection)
    if version is not None and version != VERSION:
        raise StatusUnavailable(
            f"The table of jobs is of version {version}, expected {VERSION}.",
            hint="Make it anew from the topics with this version: `tidemill tracker rebuild`.",
            retriable=False,
        )
    return version is not None


def make(connection: Connection) -> None:
    """Make the tables, in a transaction that the caller has begun; does nothing where they are there.

    Raises:
        StatusUnavailable: They are of another version.
    """
    # In Postgres even CREATE TABLE IF NOT EXISTS fails when two do it at once, and where one may make no tables at all.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MAKING_LOCK})
    if is_there(connection):
        return
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(insert(MADE), {"version": VERSION, "generation": 0})


def replacing(connection: Connection, table: Table) -> Any:
    """An INSERT of this database's dialect that takes the place of the row with the same key."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement: Any = sqlite_insert(table)
    else:
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        statement = postgres_insert(table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)
