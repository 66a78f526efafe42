"""Order: one event of a key at a time, also while it is retried; other keys go on beside it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from tests.integration.steps import StepAsked
from tests.integration.working import prepare, publish, steps, until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream


async def test_keys_are_handled_beside_each_other_and_each_in_order(settings: Settings) -> None:
    prepare(settings)
    order: dict[str, list[int]] = defaultdict(list)
    running: dict[str, int] = defaultdict(int)
    most_of_a_key = most_at_once = 0

    @stream("step.asked", name="beside", concurrency=16)
    async def beside(event: Event[StepAsked]) -> None:
        nonlocal most_of_a_key, most_at_once
        lane = event.payload.lane
        running[lane] += 1
        most_of_a_key = max(most_of_a_key, running[lane])
        most_at_once = max(most_at_once, sum(running.values()))
        # The earlier the longer: whatever isn't held back overtakes.
        await asyncio.sleep(0.02 if event.payload.number % 5 == 0 else 0)
        order[lane].append(event.payload.number)
        running[lane] -= 1

    lanes = [f"lane {number}" for number in range(20)]
    publish(settings, [StepAsked(lane=lane, number=number) for number in range(30) for lane in lanes])
    async with working(settings, beside):
        await until(lambda: sum(map(len, order.values())) == 600, "all events are handled")
    assert dict(order) == {lane: list(range(30)) for lane in lanes}
    assert most_of_a_key == 1
    assert most_at_once > 8


async def test_a_burst_on_one_key_is_handled_in_order_and_without_gaps(settings: Settings) -> None:
    prepare(settings)
    order: list[int] = []

    @stream("step.asked", name="burst", room=300)
    async def burst(event: Event[StepAsked]) -> None:
        order.append(event.payload.number)

    publish(settings, steps("one", 20_000))
    async with working(settings, burst):
        await until(lambda: len(order) == 20_000, "all events are handled")
    assert order == list(range(20_000))


async def test_a_retried_event_holds_its_key_back_and_no_other(settings: Settings) -> None:
    prepare(settings)
    tries: list[tuple[str, int]] = []
    mended = asyncio.Event()

    @stream("step.asked", name="held", retry=Retry(attempts=1000, first=0.02, most=0.02, jitter=0))
    async def held(event: Event[StepAsked]) -> None:
        tries.append((event.payload.lane, event.payload.number))
        if event.payload.lane == "bad" and event.payload.number == 1 and not mended.is_set():
            raise OSError("not yet")

    publish(settings, [*steps("bad", 4), *steps("good", 50)])
    async with working(settings, held):
        await until(lambda: tries.count(("bad", 1)) >= 3, "the bad one is tried again")
        await until(lambda: ("good", 49) in tries, "the good key is through")
        assert ("bad", 2) not in tries
        mended.set()
        await until(lambda: ("bad", 3) in tries, "the bad key goes on")
    of_the_bad = [number for lane, number in tries if lane == "bad"]
    assert of_the_bad == sorted(of_the_bad)
    assert [number for lane, number in tries if lane == "good"] == list(range(50))


async def test_without_order_events_of_one_key_run_beside_each_other(settings: Settings) -> None:
    prepare(settings)
    running = most = done = 0

    @stream("step.asked", name="loose", order="none", concurrency=8, retry=Retry(attempts=1))
    async def loose(event: Event[StepAsked]) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        done += 1

    publish(settings, steps("one", 80))
    async with working(settings, loose):
        await until(lambda: done == 80, "all events are handled")
    assert most == 8
