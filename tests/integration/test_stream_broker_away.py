"""The broker is away at the worst moments: at a worker's end, and when partitions move."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.steps import PARTITIONS, StepAsked, StepDone
from tests.integration.stream_samples import ledger
from tests.integration.worker_program import noted, worker_process
from tests.integration.working import events, lag, paused_broker, prepare, publish, steps, until, wait_until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.stream import stream

LEDGER = "tests.integration.stream_samples:ledger"
DRAIN_SECONDS = 5.0


def test_sigterm_while_the_broker_is_away_ends_in_time_tells_what_is_not_committed_and_loses_nothing(
    settings: Settings, tmp_path: Path, stack: Any
) -> None:
    prepare(settings)
    # The quiet ones give no outputs that would have to be acknowledged: what runs at the end is done, broker or not.
    lanes = [f"{kind}-{n}" for kind in ("telling", "quiet") for n in range(5)]
    publish(settings, [StepAsked(lane=lane, number=n, note="50") for n in range(20) for lane in lanes])
    with worker_process(settings, tmp_path, LEDGER, drain_seconds=DRAIN_SECONDS) as worker:
        wait_until(lambda: len(noted(tmp_path, "DONE")) > 30, "the worker is at work")
        with paused_broker(stack, settings):
            started = time.monotonic()
            status = worker.end()
            took = time.monotonic() - started
        log = worker.log
    assert status == 0
    assert took < DRAIN_SECONDS
    told = {entry["event"]: entry for entry in log if entry["level"] in ("warning", "error")}
    assert told["handing back what is not finished"]["events"] > 0
    assert sum(told["what was done is not committed and runs again"]["done_by_partition"].values()) > 0
    assert told["the group can't be told of the end, and finds out by itself"]["seconds"] < DRAIN_SECONDS
    # An outage is told once, not for each event that waited for it.
    assert "outputs can't be published, the event waits" not in told
    with worker_process(settings, tmp_path, LEDGER) as worker:
        wait_until(lambda: lag(settings, ledger) == 0, "another worker has done the rest")
        assert worker.end() == 0
    assert len(set(noted(tmp_path, "DONE"))) == 200
    assert len({event.id for event in events(settings, StepDone)}) == 100


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_partitions_that_move_while_the_coordinator_is_away_hold_up_no_others_and_lose_nothing(
    settings: Settings, stack: Any, protocol: Any
) -> None:
    settings = settings.model_copy(update={"group_protocol": protocol})
    prepare(settings)
    release, over = asyncio.Event(), asyncio.Event()
    seen: Counter[tuple[str, int]] = Counter()

    @stream("step.asked", name="moving")
    async def moving(event: Event[StepAsked]) -> None:
        await release.wait()
        seen[event.payload.lane, event.payload.number] += 1

    async def join() -> None:
        async with working(settings, moving):
            await over.wait()

    publish(settings, [step for lane in range(12) for step in steps(f"lane {lane}", 20)])
    with capture_logs() as log:
        async with working(settings, moving) as first:
            (engine,) = first.engines
            await until(lambda: first.running == 12, "every lane is at work")
            second = asyncio.create_task(join())
            await until(lambda: any(not part.open for part in engine.parts.values()), "partitions are to move")
            with paused_broker(stack, settings):
                release.set()
                # The worker goes on polling, though the last commit of what moves can't be answered.
                await until(lambda: [entry for entry in log if entry["event"] == "revoked"], "it lets go", seconds=2)
                kept = sum(part.alive for part in engine.parts.values())
                await until(lambda: not any(p.count for p in engine.parts.values()), "what it keeps is done", seconds=2)
            assert 0 < kept < PARTITIONS
            await until(lambda: len(seen) == 240, "all events are handled")
            over.set()
            await second
    assert lag(settings, moving) == 0
    assert set(seen.values()) == {1}
