"""The outbox's tables, as SQL for each database that can have one.

A row is deleted once its event is in Kafka, so that the table stays small. `lane` is the share of the work that the
row's key belongs to: one relay at a time has a lane, which keeps the order of keys.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from tidemill.errors import OutboxError

Dialect = Literal["postgresql", "sqlite"]

LANES: Final = 8
"""Shares of the work; so many relays can be of use at once. Rows carry theirs, so this can't be changed later."""

TABLE: Final = "tidemill_outbox"
IDENTITY: Final = "tidemill_outbox_identity"

_POSTGRESQL = f"""\
CREATE TABLE {TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane smallint NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    subject text NOT NULL,
    key bytea,
    value bytea NOT NULL,
    headers text NOT NULL,
    created_ms bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    problem text
)
WITH (
    -- Rows come and go: without this the index fills with the dead ones of a million rows before they are cleared.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000
);
CREATE INDEX {TABLE}_next ON {TABLE} (lane, id) WHERE problem IS NULL;
CREATE INDEX {TABLE}_held ON {TABLE} (lane, id) WHERE problem IS NOT NULL;
CREATE TABLE {IDENTITY} (id text PRIMARY KEY);
INSERT INTO {IDENTITY} VALUES (gen_random_uuid()::text);
"""

_SQLITE = f"""\
CREATE TABLE {TABLE} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    subject TEXT NOT NULL,
    key BLOB,
    value BLOB NOT NULL,
    headers TEXT NOT NULL,
    created_ms INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    problem TEXT
);
CREATE INDEX {TABLE}_next ON {TABLE} (lane, id) WHERE problem IS NULL;
CREATE INDEX {TABLE}_held ON {TABLE} (lane, id) WHERE problem IS NOT NULL;
CREATE TABLE {IDENTITY} (id TEXT PRIMARY KEY);
INSERT INTO {IDENTITY} VALUES (lower(hex(randomblob(16))));
"""


def ddl(dialect: str) -> str:
    """The statements that make the outbox's tables, each ended by a semicolon and a new line.

    Args:
        dialect: `postgresql` (13 or newer) or `sqlite` (3.25 or newer), as SQLAlchemy names them.

    Raises:
        OutboxError: There is no outbox for that database.
    """
    match dialect:
        case "postgresql":
            return _POSTGRESQL
        case "sqlite":
            return _SQLITE
    raise OutboxError(
        f"There is no outbox for a database of kind {dialect!r}.", hint=f"There is for {', '.join(get_args(Dialect))}."
    )
