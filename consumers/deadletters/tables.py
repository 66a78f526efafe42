"""The tables of the index, and how they come into being. Can be dropped at any time: topics hold all that is in them.

A change of their form, or of what makes a group, is a new VERSION: the next command makes them anew.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

VERSION = 1
MAKING_LOCK = 0x74696465
"""Number of the advisory lock under which Postgres makes the tables; any number that others don't use."""

METADATA = MetaData()
_COUNTED = BigInteger().with_variant(Integer, "sqlite")

LETTERS = Table(
    "tidemill_dead_letters",
    METADATA,
    Column("id", _COUNTED, primary_key=True, autoincrement=True),
    Column("topic", String(300), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("group_id", String(8), nullable=False),
    Column("stream", String(200), nullable=False),
    Column("event_id", String(400), nullable=False),
    Column("type", String(200), nullable=False),
    Column("key", String(200), nullable=False),
    Column("message", String(300), nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("redrives", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("written_ms", BigInteger, nullable=False),
    Column("died_ms", BigInteger, nullable=False),
    Column("source_topic", String(300), nullable=False),
    Column("source_partition", BigInteger, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("death", String(20), nullable=False),
    # What was done about it last.
    Column("action_id", BigInteger),
    Column("acted_ms", BigInteger),
    Column("to_topic", String(300)),
    Column("to_topic_id", String(40)),
    Column("to_partition", Integer),
    Column("to_offset", BigInteger),
    # Of its own, since SQLite would search the larger index by `state` otherwise.
    Column("waits", Integer, Computed("CASE WHEN state = 'redriven' THEN 1 END", persisted=True)),
    Index("tidemill_dead_by_place", "topic", "partition", "offset", unique=True),
    # All that the list asks for, so that it reads no letter.
    Index("tidemill_dead_by_group", "state", "group_id", "died_ms", "redrives", "topic", "stream"),
    Index("tidemill_dead_by_event", "event_id"),
    Index("tidemill_dead_by_death", "death"),
    Index("tidemill_dead_by_action", "action_id"),
    # Only of those of which nobody knows yet what came of them.
    Index(
        "tidemill_dead_awaited",
        "stream",
        "to_topic",
        "to_topic_id",
        "to_partition",
        "to_offset",
        sqlite_where=text("waits = 1"),
        postgresql_where=text("waits = 1"),
    ),
)
WAITS = LETTERS.c.waits == literal_column("1")
"""Without a parameter: SQLite takes a partial index only where it can see that the condition implies its own."""

GROUPS = Table(
    "tidemill_dead_groups",
    METADATA,
    Column("id", String(8), primary_key=True),
    Column("stream", String(200), nullable=False),
    Column("handler", String(200), nullable=False),
    Column("error", String(200), nullable=False),
    Column("pattern", String(200), nullable=False),
    Column("frames", Text, nullable=False),
)

ACTIONS = Table(
    "tidemill_dead_actions",
    METADATA,
    Column("id", _COUNTED, primary_key=True, autoincrement=True),
    # Where its record lies in dead.actions.
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("run", String(40), nullable=False),
    Column("by", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("topic", String(300), nullable=False),
    Column("why", Text, nullable=False),
    Column("to_topic", String(300), nullable=False),
    Column("edit", Text, nullable=False),
    Column("letters", Integer, nullable=False),
    Index("tidemill_dead_actions_by_place", "partition", "offset", unique=True),
    Index("tidemill_dead_actions_by_time", "at_ms"),
)

ACTED = Table(
    "tidemill_dead_acted",
    METADATA,
    Column("letter_id", BigInteger, primary_key=True),
    Column("action_id", BigInteger, primary_key=True),
)
"""Which letters each action was about, of those that the index knows."""

OFFSETS = Table(
    "tidemill_dead_offsets",
    METADATA,
    Column("topic", String(300), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic_id", String(40), nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    # Letters before it are expired already.
    Column("begin_offset", BigInteger, nullable=False),
)

MADE = Table("tidemill_dead_tables", METADATA, Column("version", Integer, primary_key=True))


def version_of(connection: Connection) -> int | None:
    """Version of the tables; None where there are none."""
    if not inspect(connection).has_table(MADE.name):
        return None
    found: int | None = connection.scalar(select(MADE.c.version))
    return found


def make(connection: Connection) -> None:
    """Make the tables where they aren't there, in the caller's transaction; those of another version go."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MAKING_LOCK})
    version = version_of(connection)
    if version == VERSION:
        return
    if version is not None:
        METADATA.drop_all(connection)
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(insert(MADE), {"version": VERSION})
