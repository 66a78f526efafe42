"""A short storm on archivers: whatever is killed and stopped, the archive is what the topic is, each event once."""

from __future__ import annotations

from tests.crash.archive_storm import Orders, run
from tidemill.config import Settings

DISTURBANCES = 3


def test_archivers_that_are_killed_and_stopped_lose_and_double_nothing(settings: Settings) -> None:
    orders = Orders(
        60.0, disturbances=DISTURBANCES, producers=2, rate=8.0, archivers=2, kill_seconds=(0.0, 0.3), polars=False
    )
    findings = run(orders, settings)
    assert findings.held, findings
    assert findings.kills + findings.stops >= DISTURBANCES
    assert findings.events > 100
    assert findings.commits
