"""A short storm on three brokers: workers, handlers and a broker are struck, and no promise is broken.

`make storm` runs longer ones. The seed is printed, so that a storm can be run again: STORM_SEED=7.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.report import write_page
from tests.crash.storm.course import Orders, Record, run
from tests.crash.storm.findings import report
from tests.crash.storm.ground import ground, machine, settings_for
from tests.crash.storm.nemeses import NEMESES
from tests.crash.storm.promises import broken
from tidemill.local import Stack

SECONDS = 45.0
RATE_PER_SECOND = 150.0
NAMES = (
    *("kill-worker", "term-worker", "pause-worker", "kill-broker"),
    *("hang", "swallow-cancellation", "kill-itself", "eat-memory"),
)
PATIENCE = 3.0
"""Times are judged by `make storm`, on a machine that does nothing else; here other things may go on beside it."""
ONCE_EACH = [replace(NEMESES[name], weight=1) for name in NAMES]


@pytest.fixture(scope="module")
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of three brokers, for this module alone: its brokers are killed."""
    if os.environ.get("TIDEMILL_TEST_BROKER", "local") != "local":
        pytest.skip("brokers can only be struck where they are processes of this machine")
    with ground(tmp_path_factory.mktemp("storm"), ONCE_EACH, brokers=3) as stack:
        yield stack


@pytest.mark.timeout(420)
def test_no_promise_is_broken_in_a_storm(three_brokers: Stack, tmp_path: Path) -> None:
    seed = int(os.environ.get("STORM_SEED", time.time_ns() % 1_000_000))
    print(f"STORM_SEED={seed}")  # noqa: T201 - shown by pytest where the test fails
    settings = settings_for(three_brokers, tmp_path, namespace="short.", protocol="consumer")
    orders = Orders(SECONDS, seed, RATE_PER_SECOND, ONCE_EACH, pause_seconds=(1.5, 4.0))
    record = run(orders, three_brokers, settings, tmp_path)

    found, judged = report(record, _about(seed), patience=PATIENCE)
    write_page(found, tmp_path / "report.html")
    assert broken(judged) == [], _story(record, found)
    # A storm in which nothing was struck, or nothing flowed, holds every promise.
    assert len(record.acts) >= 3, _story(record, found)
    assert len(record.evidence.acknowledged) >= SECONDS * RATE_PER_SECOND / 2, _story(record, found)
    assert found["findings"]["dead_letters_found"] > 0, _story(record, found)


def _about(seed: int) -> dict[str, object]:
    return {
        "seed": seed,
        "seconds": SECONDS,
        "protocol": "consumer",
        "brokers": 3,
        "rate_per_second": RATE_PER_SECOND,
        "started_at": time.time(),
        "machine": machine(),
    }


def _story(record: Record, found: dict[str, object]) -> str:
    acts = [f"{act.start_seconds - record.start_seconds:.1f} {act.nemesis}: {act.target}" for act in record.acts]
    return "\n".join([*acts, json.dumps(found["findings"], indent=1)])
