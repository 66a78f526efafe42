"""A short storm on the outbox's relays: what was committed is in Kafka, once and in order, and nothing else is."""

from __future__ import annotations

from tests.crash.outbox_storm import Orders, run
from tests.integration.postgres import Postgres, postgres
from tidemill.config import Settings

__all__ = ["postgres"]

ROWS = 5_000


def test_relays_that_are_killed_lose_double_and_reorder_nothing(settings: Settings, postgres: Postgres) -> None:
    dsn = postgres.new_database().replace("+psycopg", "")
    findings = run(Orders(ROWS, writers=4, kill_seconds=(1.0, 2.0)), settings, dsn, None)
    assert findings.held, findings
    assert findings.committed >= ROWS
    assert findings.rolled_back
    assert findings.kills
