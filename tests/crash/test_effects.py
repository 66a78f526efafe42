"""300 charges while workers are killed at random: never twice by `hold`, and by `again` only what a kill left open."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.effects_samples import TILL, Till, charge_again, charge_hold, open_till
from tests.integration.steps import StepAsked, StepDone
from tests.integration.worker_program import Program, tidemill_worker
from tests.integration.working import DEAD, DONE, ends, events, header, messages, prepare, publish, wait_until
from tidemill.config import Settings
from tidemill.runtime.stream import Stream

EVENTS = 300
LANES = 60
PROCESSES = 2
DEADLINE_SECONDS = 90.0
KILL_EVERY_SECONDS = (0.4, 1.2)
MOST_KILLS = 6
SAMPLES = "tests.integration.effects_samples:"


@contextmanager
def killing(worker: Program, till: Till) -> Iterator[list[int]]:
    """Kill one of its processes now and then while charges are made; gives the kills."""
    luck, kills, over = random.Random(11), list[int](), threading.Event()

    def kill_now_and_then() -> None:
        while len(kills) < MOST_KILLS and not over.wait(luck.uniform(*KILL_EVERY_SECONDS)):
            before = sum(till.charged.values())
            if (processes := worker.workers()) and before:
                # In the middle of a charge, if there is one.
                deadline = time.monotonic() + 0.5
                while sum(till.charged.values()) == before and time.monotonic() < deadline:
                    time.sleep(0.001)
                process = luck.choice(processes)
                process.kill()
                kills.append(process.pid)

    thread = threading.Thread(target=kill_now_and_then)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()


def run(settings: Settings, folder: Path, stream: Stream, target: str) -> tuple[Till, int]:
    """All charges through, done or dead letters; the till and the number of kills."""
    prepare(settings)
    publish(settings, [StepAsked(lane=f"lane-{n % LANES}", number=n // LANES) for n in range(EVENTS)])
    with open_till(work_seconds=0.03) as till:
        more = {TILL: str(till.port), "TIDEMILL_EFFECTS_LEASE_SECONDS": "3"}
        with tidemill_worker(settings, folder, SAMPLES + target, "--processes", str(PROCESSES), **more) as worker:
            with killing(worker, till) as kills:
                wait_until(lambda: len(kills) >= MOST_KILLS or _through(settings), "kills", DEADLINE_SECONDS)
            wait_until(lambda: _through(settings), "all events are through", DEADLINE_SECONDS)
            assert worker.end() == 0
        return till, len(kills)


def _through(settings: Settings) -> bool:
    return len(_done(settings)) + sum(ends(settings, DEAD).values()) >= EVENTS


def _done(settings: Settings) -> set[tuple[str, int]]:
    if sum(ends(settings, DONE).values()) + sum(ends(settings, DEAD).values()) < EVENTS:
        return set()
    return {(event.payload.lane, event.payload.number) for event in events(settings, StepDone)}


@pytest.mark.parametrize("policy", ["hold", "again"])
def test_no_charge_is_lost_or_made_twice_unasked(
    settings: Settings, tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = charge_hold if policy == "hold" else charge_again
    till, kills = run(settings, tmp_path, stream, f"charge_{policy}")
    letters = messages(settings, DEAD)
    twice = sum(count - 1 for count in till.charged.values())
    with capsys.disabled():
        print(  # noqa: T201 - the counts are the point of the run
            f"\n{policy}: {EVENTS} charges, {kills} kills: {len(till.charged)} made, {twice} of them once more, "
            f"{len(letters)} held for a person"
        )
    assert kills
    in_work = kills * stream.concurrency
    if policy == "hold":
        assert twice == 0
        assert len(letters) <= in_work
        assert {header(letter, "tm_dead_error") for letter in letters} <= {"tidemill.errors.EffectHeld"}
        # Each was charged, or is asked about.
        assert len(till.charged) + len(letters) >= EVENTS
    else:
        assert letters == []
        assert len(till.charged) == EVENTS
        assert twice <= in_work
