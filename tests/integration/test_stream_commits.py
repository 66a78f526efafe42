"""Offsets: only what is done is committed, in order; what isn't goes to whoever has the partition next."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import committed, ends, lag, prepare, publish, steps, until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.stream import stream

LANES = [f"lane {number}" for number in range(12)]


async def test_a_worker_stopped_among_slow_events_leaves_exactly_what_is_not_done(settings: Settings) -> None:
    prepare(settings)
    first: list[tuple[int, int]] = []
    release = asyncio.Event()

    @stream("step.asked", name="slow", concurrency=100)
    async def slow(event: Event[StepAsked]) -> None:
        if event.payload.note == "slow":
            await release.wait()
        first.append(event.position[1:3])

    rounds = [[StepAsked(lane=lane, number=n, note="slow" if n == 5 else "") for lane in LANES] for n in range(10)]
    publish(settings, [step for one in rounds for step in one])
    async with working(settings, slow, drain_seconds=5) as worker:
        await until(lambda: len(first) == 5 * len(LANES), "all before the slow ones are done")
        await until(lambda: worker.running == len(LANES), "the slow ones run")
        assert await worker.stop() == 0
    offsets = committed(settings, slow)
    assert offsets == {part: min(set(range(1000)) - {o for p, o in first if p == part}) for part in offsets}
    assert sum(offsets.values()) >= 5 * PARTITIONS
    before, first = list(first), []
    release.set()
    async with working(settings, slow) as worker:
        left = sum(ends(settings, "step.asked").values()) - sum(offsets.values())
        await until(lambda: len(first) == left, "what was left is handled")
        assert await worker.stop() == 0
    assert all(offset >= offsets[part] for part, offset in first)
    assert set(before) | set(first) == {(p, o) for p, end in ends(settings, "step.asked").items() for o in range(end)}
    assert lag(settings, slow) == 0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_what_is_finished_behind_a_slow_event_does_not_run_again(settings: Settings, protocol: Any) -> None:
    settings = settings.model_copy(update={"group_protocol": protocol})
    prepare(settings)
    done: Counter[tuple[str, int]] = Counter()
    release = asyncio.Event()

    @stream("step.asked", name="behind", concurrency=100)
    async def behind(event: Event[StepAsked]) -> None:
        if event.payload.note == "slow":
            await release.wait()
        done[event.payload.lane, event.payload.number] += 1

    publish(settings, [StepAsked(lane=lane, number=0, note="slow") for lane in LANES[:4]])
    publish(settings, [step for lane in LANES[4:] for step in steps(lane, 100)])
    async with working(settings, behind, drain_seconds=2) as worker:
        await until(lambda: len(done) == 800, "all but the slow ones are done")
        assert await worker.stop() == 0
    assert lag(settings, behind) > 4  # Other tools see the offset up to which everything is done.
    release.set()
    async with working(settings, behind) as worker:
        await until(lambda: lag(settings, behind) == 0, "all is committed")
        assert worker.finished == 4
        assert await worker.stop() == 0
    assert len(done) == 804
    assert set(done.values()) == {1}


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_workers_that_come_and_go_lose_nothing_and_keep_the_order(settings: Settings, protocol: Any) -> None:
    settings = settings.model_copy(update={"group_protocol": protocol})
    prepare(settings)
    seen: Counter[tuple[str, int]] = Counter()
    order: dict[str, list[int]] = defaultdict(list)

    @stream("step.asked", name="shared")
    async def shared(event: Event[StepAsked]) -> None:
        await asyncio.sleep(0.002)
        seen[event.payload.lane, event.payload.number] += 1
        order[event.payload.lane].append(event.payload.number)

    total = 0

    async def publish_more() -> None:
        nonlocal total
        batch = [StepAsked(lane=lane, number=total + n) for n in range(100) for lane in LANES]
        total += 100
        await asyncio.to_thread(publish, settings, batch)

    async with working(settings, shared):
        await publish_more()
        async with working(settings, shared) as second:
            await publish_more()
            await until(lambda: second.finished > 0, "the second worker has its share")
            async with working(settings, shared) as third:
                await publish_more()
                await until(lambda: third.finished > 0, "the third worker has its share")
                await publish_more()
            await publish_more()
        await publish_more()
        await until(lambda: len(seen) == total * len(LANES), "all events are handled")
    # In good order partitions move only after what runs is done and committed.
    assert set(seen.values()) == {1}
    assert dict(order) == {lane: list(range(total)) for lane in LANES}
    assert lag(settings, shared) == 0


async def test_a_paused_partition_that_goes_away_and_comes_back_flows_again(settings: Settings) -> None:
    prepare(settings)
    seen: set[tuple[str, int]] = set()
    release = asyncio.Event()

    @stream("step.asked", name="paused", room=5, concurrency=100)
    async def paused(event: Event[StepAsked]) -> None:
        await release.wait()
        seen.add((event.payload.lane, event.payload.number))

    publish(settings, [step for lane in LANES for step in steps(lane, 50)])
    async with working(settings, paused) as first:
        await until(lambda: len(first.paused) == PARTITIONS, "all partitions are full and paused")
        # A cancelled handler runs again, but only after the rebalance has waited for it: 5 s.
        async with working(settings, paused, drain_seconds=3):
            await until(lambda: len(first.paused) < PARTITIONS, "some went to the second worker")
        release.set()
        await until(lambda: len(seen) == 600, "all events are handled")
    assert lag(settings, paused) == 0


async def test_nothing_is_committed_for_a_lost_partition(settings: Settings) -> None:
    prepare(settings)
    release = asyncio.Event()
    started: set[str] = set()

    @stream("step.asked", name="lost")
    async def lost(event: Event[StepAsked]) -> None:
        started.add(event.payload.lane)
        try:
            await release.wait()
        except asyncio.CancelledError:
            return  # As if it had been done all the same.

    publish(settings, [step for lane in LANES for step in steps(lane, 1)])
    async with working(settings, lost) as worker:
        await until(lambda: len(started) == len(LANES), "all run")
        (engine,) = worker.engines
        engine.lose(list(engine.parts))
        await until(lambda: not any(slot.unit for slot in engine.slots), "all are stopped")
        release.set()
        assert engine.finished == 0
    assert committed(settings, lost) == {}
