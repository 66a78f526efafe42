"""Batches in the engine: how they are made, and how one bad event is told from the others."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.steps import StepAsked
from tests.unit.engine_bench import SOON, MakeBench
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Work


class Batches:
    """A handler of batches that notes what it gets, and fails where one of these numbers is among it."""

    def __init__(self, *poison: int) -> None:
        self.calls: list[tuple[list[int], int]] = []
        self.poison = set(poison)
        self.at_once = 0
        self.most_at_once = 0

    def stream(self, **options: Any) -> Stream:
        @stream("step.asked", name="batches", retry=options.pop("retry", SOON), **options)
        async def batches(events: list[Event[StepAsked]], work: Work) -> None:
            numbers = [event.payload.number for event in events]
            self.calls.append((numbers, work.attempt))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0)
            self.at_once -= 1
            if self.poison.intersection(numbers):
                raise ValueError("poison")

        return batches


async def test_batches_come_in_order_one_of_a_partition_at_a_time(bench: MakeBench) -> None:
    handler = Batches()
    run = bench(handler.stream(batch=2))
    run.feed(0, 1, 2, 3, 4)
    await run.committable(5)
    assert handler.calls == [([0, 1], 1), ([2, 3], 1), ([4], 1)]
    assert handler.most_at_once == 1
    assert run.engine.finished == 5


async def test_without_order_batches_of_a_partition_run_beside_each_other(bench: MakeBench) -> None:
    handler = Batches()
    run = bench(handler.stream(batch=2, order="none"))
    run.feed(0, 1, 2, 3, 4)
    await run.committable(5)
    assert handler.most_at_once == 3


async def test_a_failed_batch_is_run_one_by_one_and_each_event_has_all_its_tries(bench: MakeBench) -> None:
    handler = Batches(1)
    run = bench(handler.stream(batch=3, retry=Retry(attempts=2, first=0.0)))
    run.feed(0, 1, 2, 3)
    await run.committable(4)
    assert handler.calls == [([0, 1, 2], 1), ([0], 1), ([1], 1), ([1], 2), ([2], 1), ([3], 1)]
    ((offset, error, attempts),) = run.sent.dead
    assert (offset, str(error), attempts) == (1, "poison", 2)
    assert run.engine.finished == 4


async def test_garbage_in_a_batch_takes_no_good_event_with_it(bench: MakeBench) -> None:
    handler = Batches()
    run = bench(handler.stream(batch=3))
    run.feed(0, b"!", 2)
    await run.committable(3)
    assert handler.calls == [([0], 1), ([2], 1)]
    assert [(offset, attempts) for offset, _, attempts in run.sent.dead] == [(1, 0)]
