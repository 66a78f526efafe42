"""What `tidemill doctor` says of the outbox, by the entry point `tidemill.checks`: whether rows wait too long."""

from __future__ import annotations

from producers.outbox.database import Database
from producers.outbox.settings import load_outbox_settings
from producers.outbox.status import read_status
from tidemill.cli.finding import Finding
from tidemill.config import Settings
from tidemill.errors import OutboxError

NAME = "outbox"
LONG_SECONDS = 60.0
"""A row that waits for longer is not being moved."""


def check_outbox(settings: Settings) -> Finding:
    """Whether the rows of the outbox that this environment names get to Kafka."""
    outbox_settings = load_outbox_settings()
    if outbox_settings.url is None:
        return Finding(NAME, None, "none is set up (TIDEMILL_OUTBOX_URL)")
    try:
        database = Database(outbox_settings)
        try:
            found = read_status(database)
        finally:
            database.close()
    except OutboxError as error:
        return Finding(NAME, False, error.message.rstrip("."), error.hint)
    age = found.oldest_seconds or 0.0
    waits = f"{found.rows:,} rows wait" if found.rows else "no row waits"
    if found.held:
        return Finding(
            NAME, False, f"{waits}, {found.held:,} of them can't be published", "`tidemill outbox status` says why."
        )
    if age > LONG_SECONDS:
        return Finding(
            NAME, False, f"{waits}, the oldest for {age:,.0f} s", "Is a relay running? `tidemill outbox relay`"
        )
    return Finding(NAME, True, f"{waits}, the oldest for {age:,.1f} s" if found.rows else waits)
