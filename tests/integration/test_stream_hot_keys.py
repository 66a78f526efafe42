"""One key has far more events than fit, or is far slower: its partition waits at its room, all others go on."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import lag, prepare, publish, steps, until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.partitioning import partition_of
from tidemill.runtime.source import BATCH
from tidemill.runtime.stream import stream

HOT = "hot"
MANY = 100_000
ROOM = 2048


def place(lane: str) -> int:
    return partition_of(lane.encode(), PARTITIONS)


LANES = [lane for lane in (f"lane {number}" for number in range(40)) if place(lane) != place(HOT)]


async def test_a_key_with_100_000_waiting_events_holds_its_room_and_nobody_up_and_is_as_fast_at_its_end(
    settings: Settings,
) -> None:
    prepare(settings)
    release = asyncio.Event()
    order: dict[str, list[int]] = defaultdict(list)
    quarters: list[float] = []
    most_in_hand = 0

    @stream("step.asked", name="hot", room=ROOM)
    async def hot(event: Event[StepAsked]) -> None:
        nonlocal most_in_hand
        lane, number = event.payload.lane, event.payload.number
        if lane == HOT and number == 0:
            await release.wait()
        order[lane].append(number)
        if lane == HOT and (number + 1) % (MANY // 4) == 0:
            quarters.append(time.process_time())
        if number % 100 == 0:
            most_in_hand = max(most_in_hand, *(part.count for part in engine.parts.values()))

    await asyncio.to_thread(
        publish, settings, [*steps(HOT, MANY), *(step for lane in LANES for step in steps(lane, 100))]
    )
    async with working(settings, hot) as worker:
        (engine,) = worker.engines
        await until(lambda: sum(len(order[lane]) for lane in LANES) == 100 * len(LANES), "all others are through")
        assert order[HOT] == []
        started = time.process_time()
        release.set()
        await until(lambda: len(order[HOT]) == MANY, "the hot key is through")
    assert dict(order) == {HOT: list(range(MANY)), **{lane: list(range(100)) for lane in LANES}}
    assert ROOM <= most_in_hand < ROOM + BATCH
    took = [end - start for start, end in zip([started, *quarters], quarters, strict=False)]
    # In processor time, of which others on the machine take nothing. Were the work for an event to grow with those
    # before it, the second half would take three times the first.
    assert took[2] + took[3] < 2.5 * (took[0] + took[1]), took
    assert lag(settings, hot) == 0


async def test_a_partition_that_is_paused_again_and_again_is_handled_once_and_in_order_and_holds_nobody_up(
    settings: Settings,
) -> None:
    prepare(settings)
    order: dict[str, list[int]] = defaultdict(list)
    ends: dict[str, float] = {}
    pauses = 0

    @stream("step.asked", name="tight", room=100)
    async def tight(event: Event[StepAsked]) -> None:
        lane, number = event.payload.lane, event.payload.number
        if lane == HOT and number % 20 == 0:
            await asyncio.sleep(0.005)
        order[lane].append(number)
        ends[lane] = time.monotonic()

    publish(settings, [*steps(HOT, 6000), *(step for lane in LANES for step in steps(lane, 50))])
    async with working(settings, tight) as worker:
        was_paused = False
        deadline = time.monotonic() + 30
        while len(order[HOT]) < 6000:
            assert time.monotonic() < deadline, f"{len(order[HOT])} of 6000"
            await asyncio.sleep(0.001)
            is_paused = place(HOT) in {number for _, number in worker.paused}
            pauses += is_paused and not was_paused
            was_paused = is_paused
        await until(lambda: sum(map(len, order.values())) == 6000 + 50 * len(LANES), "all are handled")
    assert pauses >= 4
    assert dict(order) == {HOT: list(range(6000)), **{lane: list(range(50)) for lane in LANES}}
    assert max(ends[lane] for lane in LANES) < ends[HOT]
    assert lag(settings, tight) == 0
