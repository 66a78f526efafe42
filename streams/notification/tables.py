"""The tables: recipients and their addresses; deliveries, which are open or gone; and the notices of each delivery.

Names of events and recipients are kept as they are up to 400 characters; a longer one as its digest.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

VERSION = 2
MOST_KEY_CHARS = 400

METADATA = MetaData()

SCHEMA = Table("tidemill_notification_schema", METADATA, Column("version", Integer, primary_key=True))

RECIPIENTS = Table(
    "tidemill_notification_recipients",
    METADATA,
    Column("id", String(MOST_KEY_CHARS), primary_key=True),
    Column("time_zone", String(64), nullable=False),
    Column("quiet", String(11)),
    Column("rate_per_hour", Integer),
    Column("locale", String(35)),
    Column("channels", Text, nullable=False),
)

ADDRESSES = Table(
    "tidemill_notification_addresses",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("recipient", String(MOST_KEY_CHARS), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("added", Float, nullable=False),
    Column("shown", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("identity", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("note", Text),
    Index("tidemill_notification_addresses_of", "recipient", "added"),
    Index("tidemill_notification_addresses_once", "recipient", "channel", "identity", unique=True),
)

DELIVERIES = Table(
    "tidemill_notification_deliveries",
    METADATA,
    Column("id", String(MOST_KEY_CHARS), primary_key=True),
    Column("recipient", String(MOST_KEY_CHARS), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("waits_for", String(16)),
    Column("state", String(8), nullable=False),
    Column("opened", Float, nullable=False),
    Column("due", Float, nullable=False),
    Column("notices", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("closed", Float),
    Column("closed_by", String(MOST_KEY_CHARS)),
    Column("outcome", Text),
    Index("tidemill_notification_deliveries_open", "recipient", "state", "closed"),
    Index("tidemill_notification_deliveries_due", "state", "due"),
)
"""What goes together. `state`: `open` while it gathers, `closed` once it has gone, `retrying` where nobody was reached
and it is tried again. `id` is that of the first notice's event; `closed_by` the event that lets it go, or has put it
off; `tries` how often it was put off; `outcome` what came of it."""

NOTICES = Table(
    "tidemill_notification_notices",
    METADATA,
    Column("id", String(MOST_KEY_CHARS), primary_key=True),
    Column("delivery", String(MOST_KEY_CHARS), nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("recipient", String(MOST_KEY_CHARS), nullable=False),
    Column("collapse_key", Text),
    Column("notice", Text, nullable=False),
    Column("waits_for", String(16)),
    Column("until", Float),
    Column("left_out", String(16)),
    Column("replaced_by", String(MOST_KEY_CHARS)),
    Index("tidemill_notification_notices_of", "delivery", "place"),
    Index("tidemill_notification_notices_replaced", "replaced_by"),
)
"""`left_out`: `expired` or `replaced`; null for a notice that goes."""


def key_of(name: str) -> str:
    """A name as a key of the tables."""
    plain = len(name) <= MOST_KEY_CHARS and name.isprintable()
    return name if plain else "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
