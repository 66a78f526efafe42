"""Retries while workers are killed: each key keeps its order, no try is lost, and other keys don't notice."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.retry_samples import flaky
from tests.integration.steps import StepAsked
from tests.integration.worker_program import Program, ledger, worker_process
from tests.integration.working import DEAD, ends, lag, prepare, wait_until
from tidemill import Publisher
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry

KEYS = 100
EVENTS = 1_000
FAILING_KEYS = 20
"""Half of their events fail twice: one in ten of all."""
SECONDS = 8.0
KILL_EVERY_SECONDS = (0.7, 2.0)
FLAKY = "tests.integration.retry_samples:flaky"


def asked(number: int, *, failing: bool) -> StepAsked:
    """The event of a number: key by key in turn."""
    key, place = number % KEYS, number // KEYS
    fails = failing and key < FAILING_KEYS and (key + place) % 2 == 0
    return StepAsked(lane=f"key-{key}", number=place, note="fails twice" if fails else "")


def publish_evenly(settings: Settings, *, failing: bool) -> None:
    """Publish all events over `SECONDS`."""
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        begun = time.monotonic()
        for number in range(EVENTS):
            publisher.publish(asked(number, failing=failing))
            time.sleep(max(0.0, begun + (number + 1) * SECONDS / EVENTS - time.monotonic()))


@contextmanager
def killing(settings: Settings, folder: Path, luck: random.Random) -> Iterator[list[float]]:
    """Two workers, one of which is killed and replaced now and then during the block; gives the kills' times."""
    kills: list[float] = []
    over = threading.Event()
    with ExitStack() as programs:

        def start() -> Program:
            started: Program = programs.enter_context(worker_process(settings, folder, FLAKY))
            return started

        workers = [start(), start()]
        for worker in workers:
            worker.wait_for("ready")

        def kill_now_and_then() -> None:
            while not over.wait(luck.uniform(*KILL_EVERY_SECONDS)):
                struck = luck.randrange(2)
                workers[struck].end(signal.SIGKILL)
                kills.append(time.monotonic())
                workers[struck] = start()

        thread = threading.Thread(target=kill_now_and_then)
        thread.start()
        try:
            yield kills
        finally:
            over.set()
            thread.join()


def test_each_key_keeps_its_order_whatever_fails_and_whoever_is_killed(settings: Settings, tmp_path: Path) -> None:
    seed = int(os.environ.get("RETRIES_SEED", time.time_ns() % 1_000_000))
    print(f"RETRIES_SEED={seed}")  # noqa: T201 - shown by pytest where the test fails
    prepare(settings)
    with killing(settings, tmp_path, random.Random(seed)) as kills:
        publish_evenly(settings, failing=True)
        wait_until(lambda: len(kills) >= 4, "some workers were killed")
    with worker_process(settings, tmp_path, FLAKY):
        wait_until(lambda: lag(settings, flaky) == 0, "all is committed")
    done: dict[str, list[int]] = defaultdict(list)
    for _, lane, place, *_ in ledger(tmp_path):
        done[lane].append(int(place))
    assert len(done) == KEYS
    for lane, numbers in done.items():
        # What was done since the last commit runs again after a kill, but never does an event before the one before it.
        furthest = -1
        for number in numbers:
            assert number <= furthest + 1, (lane, numbers)
            furthest = max(furthest, number)
        assert sorted(set(numbers)) == list(range(EVENTS // KEYS)), (lane, numbers)
    assert sum(ends(settings, DEAD).values()) == 0


def latencies(settings: Settings, folder: Path, *, failing: bool) -> list[float]:
    """Seconds from publishing to done, of the keys of which no event fails."""
    folder.mkdir()
    prepare(settings)
    with worker_process(settings, folder, FLAKY) as worker:
        worker.wait_for("assigned")
        publish_evenly(settings, failing=failing)
        wait_until(lambda: lag(settings, flaky) == 0, "all is committed")
    lines = ledger(folder)
    assert len(lines) == EVENTS
    # Without each key's first event: a worker's first fetch takes up to half a second.
    others = [line for line in lines if int(line[1].removeprefix("key-")) >= FAILING_KEYS and int(line[2]) > 0]
    return sorted(float(line[4]) for line in others)


def test_other_keys_hardly_notice_that_some_fail(settings: Settings, tmp_path: Path) -> None:
    # What else goes on on the machine comes and goes; what a failing key does to others is there each time.
    assert any(are_hardly_noticed(settings, tmp_path, number) for number in range(3))


def are_hardly_noticed(settings: Settings, folder: Path, number: int) -> bool:
    """Whether others take their usual time beside keys that fail; prints both."""
    calm, rough = (
        latencies(
            settings.model_copy(update={"namespace": f"{settings.namespace}{name}{number}."}),
            folder / f"{name}{number}",
            failing=name == "rough",
        )
        for name in ("calm", "rough")
    )
    for words, found in (("none fails", calm), ("one in ten fails twice", rough)):
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        print(f"{words}: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms")  # noqa: T201 - for the documents
    # A wait for a next try is 250 ms at least.
    is_usual = statistics.median(rough) < statistics.median(calm) + 0.1
    return is_usual and rough[int(len(rough) * 0.95)] < calm[int(len(calm) * 0.95)] + 0.25
