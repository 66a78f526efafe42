"""A short storm on two schedulers while events fall due: each is dispatched once, none early; without transactions not.

`python -m tests.crash.clock.delays_storm` is the long one, on three brokers. STORM_SEED=7 lets the same pass again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.clock.controls import CONTROLS
from tests.crash.clock.delays_checker import Verdict, judge
from tests.crash.clock.delays_course import Orders, Record, run
from tests.crash.storm.ground import ground, settings_for
from tidemill.local import Stack

PAUSE_SECONDS = 7.5
"""Longer than a session: the instance comes back as a zombie."""


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for this module alone, whose processes are of this machine."""
    if os.environ.get("TIDEMILL_TEST_BROKER", "local") != "local":
        pytest.skip("paused schedulers need a group session as short as the local stack's")
    with ground(tmp_path_factory.mktemp("delays"), [], brokers=1) as stack:
        yield stack


@pytest.mark.timeout(240)
def test_each_event_is_dispatched_once_and_none_early_whatever_befalls_the_schedulers(
    one_broker: Stack, tmp_path: Path
) -> None:
    orders = Orders(6_000, 20.0, _seed(), (2.0, 3.0), PAUSE_SECONDS, ["kill", "pause"], None)
    record, verdict = _pass(orders, one_broker, tmp_path, "kept.")
    assert verdict.is_right, _story(record, verdict)
    assert record.fallen == []
    # A storm in which nothing was struck, or nothing waited, holds every promise.
    assert {strike.how for strike in record.strikes} == {"kill", "pause"}, _story(record, verdict)
    assert len(record.published) == orders.events


@CONTROLS
@pytest.mark.timeout(240)
def test_a_scheduler_without_transactions_doubles_events_in_the_same_storm(one_broker: Stack, tmp_path: Path) -> None:
    orders = Orders(6_000, 14.0, _seed(), (2.0, 3.0), PAUSE_SECONDS, ["pause"], None, is_naive=True)
    record, verdict = _pass(orders, one_broker, tmp_path, "naive.")
    assert verdict.doubled or verdict.lost, _story(record, verdict)
    assert verdict.lateness_seconds, "it does nothing at all"


def _seed() -> int:
    seed = int(os.environ.get("STORM_SEED", time.time_ns() % 1_000_000))
    print(f"STORM_SEED={seed}")  # noqa: T201 - shown by pytest where the test fails
    return seed


def _pass(orders: Orders, stack: Stack, folder: Path, namespace: str) -> tuple[Record, Verdict]:
    settings = settings_for(stack, folder, namespace=namespace, protocol="consumer")
    record = run(orders, stack, settings, folder / "schedulers", lambda _: None)
    return record, judge(record.published, record.seen)


def _story(record: Record, verdict: Verdict) -> str:
    strikes = [f"{strike.how} {strike.victim}" for strike in record.strikes]
    return "\n".join([*strikes, verdict.summary, *record.fallen])
