"""A small storm: two workers are killed, stopped and paused at random while events flow.

Handlers note down START and DONE in a file that outlives them; what was acknowledged to the publisher is held against
that and against the topic of outputs. The seed is printed, so that a storm can be run again: STORM_SEED=7.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.integration.steps import StepAsked
from tests.integration.stream_samples import LEDGER
from tests.integration.stream_samples import ledger as ledger_stream
from tests.integration.worker_program import Program, ledger, noted, tidemill_worker
from tests.integration.working import DONE, lag, messages, prepare, wait_until
from tidemill.config import Settings
from tidemill.event import Event, derived_id
from tidemill.publisher import Publisher

STORM_SECONDS = 25.0
LANES = 40
RATE = 200
SESSION_SECONDS = 6.0
"""The local broker's session time-out: a pause longer than that costs a worker its partitions."""


def test_nothing_is_lost_and_every_lane_keeps_its_order_in_a_storm(settings: Settings, tmp_path: Path) -> None:
    seed = int(os.environ.get("STORM_SEED", time.time_ns() % 1_000_000))
    print(f"STORM_SEED={seed}")  # noqa: T201 - shown by pytest where the test fails
    prepare(settings)
    acknowledged: dict[str, tuple[str, int]] = {}
    stop = threading.Event()
    publisher = threading.Thread(target=_publish_until, args=(settings, acknowledged, stop))
    with ExitStack() as programs:
        workers = []
        for number in range(2):
            folder = tmp_path / f"worker-{number}"
            folder.mkdir()
            variables = {LEDGER: str(tmp_path / "ledger")}
            stream = "tests.integration.stream_samples:ledger"
            workers.append(programs.enter_context(tidemill_worker(settings, folder, stream, **variables)))
        for worker in workers:
            worker.wait_for("ready")
        publisher.start()
        acts = _storm(workers, random.Random(seed))
        healed = time.monotonic()
        stop.set()
        publisher.join()
        wait_until(lambda: lag(settings, ledger_stream) == 0, "zero lag after the storm", 60)
        heal_seconds = time.monotonic() - healed
        for worker in workers:
            assert worker.end() == 0, worker.said[-3000:]
    assert sum(acts.values()) >= 5, acts
    done = [(line[1], int(line[2])) for line in ledger(tmp_path) if line[0] == "DONE"]
    asked = set(acknowledged.values())
    story = f"seed {seed}, {dict(acts)}, {len(asked)} events, {len(done) - len(set(done))} run twice"
    assert set(done) == asked, f"{story}; lost {sorted(asked - set(done))[:5]}, phantom {sorted(set(done) - asked)[:5]}"
    assert _inversions(done) == [], story
    outputs = Counter(Event.received(None, message).id for message in messages(settings, DONE))
    assert outputs.keys() == {derived_id(event_id, "ledger:0") for event_id in acknowledged}, story
    assert heal_seconds < 30, story


def _publish_until(settings: Settings, acknowledged: dict[str, tuple[str, int]], stop: threading.Event) -> None:
    numbers: Counter[str] = Counter()
    luck = random.Random(1)
    receipts = []
    with Publisher(settings) as publisher:
        while not stop.wait(1 / RATE):
            lane = f"lane-{luck.randrange(LANES)}"
            step = StepAsked(lane=lane, number=numbers[lane], note=str(luck.randrange(20)))
            numbers[lane] += 1
            receipts.append((publisher.publish(step), lane, step.number))
        for receipt, lane, number in receipts:
            receipt.result(30)
            acknowledged[receipt.id] = (lane, number)


def _storm(workers: list[Program], luck: random.Random) -> Counter[str]:
    acts: Counter[str] = Counter()
    end = time.monotonic() + STORM_SECONDS
    while time.monotonic() < end:
        time.sleep(luck.uniform(1.0, 3.0))
        alive = luck.choice(workers).workers()
        if not alive:
            continue  # Its supervisor is about to start another.
        act = luck.choice(("kill", "term", "pause"))
        acts[act] += 1
        try:
            _do(act, alive[0], luck)
        except psutil.NoSuchProcess:
            acts[act] -= 1
    return acts


def _do(act: str, worker: psutil.Process, luck: random.Random) -> None:
    if act == "pause":
        worker.suspend()
        try:
            time.sleep(luck.choice((1.0, SESSION_SECONDS + 2)))
        finally:
            worker.resume()
    else:
        worker.send_signal(signal.SIGKILL if act == "kill" else signal.SIGTERM)


def _inversions(done: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Lanes in which an event was first finished before one that comes before it."""
    found = []
    last: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    for lane, number in done:
        if (lane, number) in seen:
            continue
        seen.add((lane, number))
        if number != last.get(lane, -1) + 1:
            found.append((lane, last.get(lane, -1), number))
        last[lane] = max(number, last.get(lane, -1))
    return found


def test_the_checker_sees_an_inversion() -> None:
    assert _inversions([("a", 0), ("b", 0), ("a", 0), ("a", 1)]) == []
    assert _inversions([("a", 1), ("a", 0)]) != []


def test_the_ledger_of_a_storm_tells_starts_from_ends(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("START a 0 1 1\nDONE a 0 1 2\nSTART a 1 1 3\n", encoding="utf-8")
    assert noted(tmp_path, "DONE") == [("a", 0)]
    assert noted(tmp_path, "START") == [("a", 0), ("a", 1)]
