"""A short storm on two schedulers: no second of any job is lost or doubled; and one without transactions doubles some.

`python -m tests.crash.clock.ticks_storm` is the long one, on three brokers. STORM_SEED=7 lets the same pass again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.clock.controls import CONTROLS
from tests.crash.clock.ticks_course import Orders, Record, run
from tests.crash.clock.ticks_report import report, summary
from tests.crash.storm.ground import ground, settings_for
from tests.crash.storm.promises import broken
from tidemill.local import Stack

PATIENCE = 3.0
"""Times are judged by the long storm, on a machine that does nothing else; here other things may go on beside it."""
PAUSE_SECONDS = 8.0
"""Longer than a session: the instance comes back as a zombie."""


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for this module alone, whose processes are of this machine."""
    if os.environ.get("TIDEMILL_TEST_BROKER", "local") != "local":
        pytest.skip("paused schedulers need a group session as short as the local stack's")
    with ground(tmp_path_factory.mktemp("ticks"), [], brokers=1) as stack:
        yield stack


@pytest.mark.timeout(240)
def test_each_job_ticks_exactly_once_a_second_whatever_befalls_its_schedulers(
    one_broker: Stack, tmp_path: Path
) -> None:
    orders = Orders(32.0, 20, _seed(), (10.0, 10.5), PAUSE_SECONDS, broker_seconds=None)
    record = _pass(orders, one_broker, tmp_path, "kept.")
    found, promises = report(record, {}, patience=PATIENCE)
    assert broken(promises) == [], _story(found, summary(found, promises))
    # A storm in which nothing was struck, or nothing ticked, holds every promise.
    assert {strike.how for strike in record.strikes} == {"kill", "pause", "term"}
    assert found["figures"]["seconds_of_ticks"] >= orders.seconds
    assert found["figures"]["emits"] > 0
    assert any(record.admissions.values()), "the woken instance must have said that it isn't the owner any more"


@CONTROLS
@pytest.mark.timeout(240)
def test_a_scheduler_without_transactions_doubles_ticks_in_the_same_storm(one_broker: Stack, tmp_path: Path) -> None:
    orders = Orders(9.0, 20, _seed(), (0.5, 0.6), PAUSE_SECONDS, ["pause"], None, is_naive=True)
    record = _pass(orders, one_broker, tmp_path, "naive.")
    found, promises = report(record, {}, patience=PATIENCE)
    told = {promise.name: promise for promise in promises}
    assert told["doubled"].found, _story(found, summary(found, promises))
    assert found["figures"]["ticks"] > 0, "it does nothing at all"


def _seed() -> int:
    seed = int(os.environ.get("STORM_SEED", time.time_ns() % 1_000_000))
    print(f"STORM_SEED={seed}")  # noqa: T201 - shown by pytest where the test fails
    return seed


def _pass(orders: Orders, stack: Stack, folder: Path, namespace: str) -> Record:
    settings = settings_for(stack, folder, namespace=namespace, protocol="consumer")
    return run(orders, stack, settings, folder / "course", lambda line: print(line))  # noqa: T201 - as above


def _story(found: dict[str, object], lines: str) -> str:
    return lines + json.dumps({name: found[name] for name in ("strikes", "faults", "figures")}, indent=1)
