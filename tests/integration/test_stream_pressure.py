"""Back-pressure: a slow handler holds a bounded number of events and bytes, and stops nobody else's partition."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from random import Random

from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import lag, prepare, publish, steps, until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.partitioning import partition_of
from tidemill.runtime.source import BATCH
from tidemill.runtime.stream import stream


async def test_a_slow_handler_holds_at_most_its_room_and_one_poll_per_partition(settings: Settings) -> None:
    prepare(settings)
    release = asyncio.Event()
    done: Counter[str] = Counter()

    @stream("step.asked", name="slow", room=100)
    async def slow(event: Event[StepAsked]) -> None:
        await release.wait()
        done[event.payload.lane] += 1

    publish(settings, [StepAsked(lane=f"lane {n % 40}", number=n) for n in range(12_000)])
    async with working(settings, slow) as worker:
        (engine,) = worker.engines
        await until(lambda: len(worker.paused) == PARTITIONS, "all partitions are full")
        held = [part.count for part in engine.parts.values()]
        # Were one not really paused, more would come now.
        for _ in range(50):
            await asyncio.sleep(0.01)
        assert [part.count for part in engine.parts.values()] == held
        assert all(100 <= count < 100 + BATCH for count in held)
        release.set()
        await until(lambda: done.total() == 12_000, "all events are handled")
        assert max(part.count for part in engine.parts.values()) < 100 + BATCH
    assert lag(settings, slow) == 0


def place(lane: str) -> int:
    return partition_of(lane.encode(), PARTITIONS)


async def test_a_stuck_key_stops_no_other_partition(settings: Settings) -> None:
    prepare(settings)
    release = asyncio.Event()
    done: Counter[str] = Counter()

    @stream("step.asked", name="stuck", room=50)
    async def stuck(event: Event[StepAsked]) -> None:
        if event.payload.lane == "stuck":
            await release.wait()
        done[event.payload.lane] += 1

    lanes = [f"lane {number}" for number in range(40)]
    elsewhere = [lane for lane in lanes if place(lane) != place("stuck")]
    publish(settings, [*steps("stuck", 1000), *(step for lane in lanes for step in steps(lane, 100))])
    async with working(settings, stuck) as worker:
        await until(lambda: all(done[lane] == 100 for lane in elsewhere), "the other partitions are through")
        await until(
            lambda: worker.paused == {(settings.qualified("step.asked"), place("stuck"))}, "only its own is paused"
        )
        assert done["stuck"] == 0
        release.set()
        await until(lambda: done.total() == 5000, "all events are handled")
    assert lag(settings, stuck) == 0


async def test_large_events_are_held_by_their_bytes(settings: Settings) -> None:
    prepare(settings)
    release = asyncio.Event()
    done = 0

    @stream("step.asked", name="large", room_bytes=3_000_000)
    async def large(event: Event[StepAsked]) -> None:
        nonlocal done
        await release.wait()
        done += 1

    # What can't be compressed: a batch is fetched as a whole.
    publish(settings, steps("a", 60, note=base64.b85encode(Random(1).randbytes(240_000)).decode()))
    async with working(settings, large) as worker:
        (engine,) = worker.engines
        await until(lambda: worker.paused, "the partition is full")
        (part,) = [part for part in engine.parts.values() if part.count]
        # Besides the room itself, what the client had fetched already: queued.max.messages.kbytes, and one fetch.
        assert 3_000_000 <= part.bytes < 8_000_000
        release.set()
        await until(lambda: done == 60, "all events are handled")
        assert part.bytes == 0
    assert lag(settings, large) == 0
