"""Handlers of batches: their sizes, their order, and one bad event that takes no other with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    DONE,
    dead_letters,
    events,
    forget_offsets,
    header,
    lag,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Output, Work


@pytest.mark.parametrize("executor", ["async", "inline", "thread"])
async def test_batches_hold_events_of_one_partition_in_order_up_to_their_size(
    settings: Settings, executor: Any
) -> None:
    prepare(settings)
    batches: list[list[tuple[int, int]]] = []

    def gather(events: list[Event[StepAsked]]) -> None:
        batches.append([event.position[1:3] for event in events])

    async def gather_async(events: list[Event[StepAsked]]) -> None:
        gather(events)

    handler: Any = gather_async if executor == "async" else gather
    gathering = stream("step.asked", name="gathering", batch=40, executor=executor)(handler)
    publish(settings, [step for lane in range(30) for step in steps(f"lane {lane}", 30)])
    async with working(settings, gathering) as worker:
        await until(lambda: sum(map(len, batches)) == 900, "all events are handled")
        assert await worker.stop() == 0
    assert max(map(len, batches)) == 40
    assert all(len({partition for partition, _ in batch}) == 1 for batch in batches)
    for number in range(4):
        offsets = [offset for batch in batches for partition, offset in batch if partition == number]
        assert offsets == list(range(len(offsets)))
    assert lag(settings, gathering) == 0


async def test_the_poison_of_a_batch_is_found_and_the_others_are_handled(settings: Settings) -> None:
    prepare(settings)
    done: list[int] = []

    @stream("step.asked", name="gathering", batch=20, retry=Retry(attempts=2, first=0.01))
    async def gathering(events: list[Event[StepAsked]], work: Work) -> list[StepDone]:
        if any(event.payload.number in (7, 25) for event in events):
            raise ValueError("poison")
        done.extend(event.payload.number for event in events)
        return [StepDone(lane="a", number=event.payload.number) for event in events]

    publish(settings, steps("a", 60))
    async with working(settings, gathering) as worker:
        letters = await dead_letters(settings, 2)
        await until(lambda: worker.finished == 60, "everything is through")
        assert await worker.stop() == 0
    assert done == [number for number in range(60) if number not in (7, 25)]
    assert [header(letter, "tm_dead_offset") for letter in letters] == ["7", "25"]
    assert [header(letter, "tm_dead_attempts") for letter in letters] == ["2", "2"]
    assert [event.payload.number for event in events(settings, StepDone, 58)] == done
    assert lag(settings, gathering) == 0


async def test_outputs_with_their_cause_have_the_same_ids_however_batches_fall(settings: Settings) -> None:
    prepare(settings)

    def answers(events: list[Event[StepAsked]]) -> list[Output]:
        return [
            Output(StepDone(lane="a", number=event.payload.number, note=note), cause=event)
            for event in events
            for note in ("first", "second")
        ]

    publish(settings, steps("a", 50))
    streams: list[Stream] = []
    for size in (7, 20):

        @stream("step.asked", name="answering", batch=size)
        async def answering(events: list[Event[StepAsked]]) -> list[Output]:
            return answers(events)

        streams.append(answering)
    for count, answering in zip((100, 200), streams, strict=True):
        async with working(settings, answering):
            await until_there(settings, DONE, count)
        forget_offsets(settings, answering)
    ids = [(event.id, event.cause, event.payload) for event in events(settings, StepDone, 200)]
    assert ids[:100] == ids[100:]
    assert len({event_id for event_id, _, _ in ids}) == 100
