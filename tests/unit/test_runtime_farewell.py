"""What is told of a dead letter: after it, with the promise of an output, and without power over it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.unit.engine_bench import MakeBench, until
from tidemill.errors import NotDelivered, Reject, StreamError
from tidemill.event import Event
from tidemill.runtime.stream import Stream, stream


def failing(tell: Any) -> Stream:
    @stream("step.asked", name="failing", on_dead_letter=tell)
    async def handler(event: Event[StepAsked]) -> StepDone:
        if event.payload.number == 1:
            raise Reject("It can't be done.")
        return StepDone(lane="ok", number=event.payload.number)

    return handler


def tell(event: Event[StepAsked], error: Exception) -> list[StepDone]:
    return [StepDone(lane=str(error), number=event.payload.number)]


async def test_who_waits_for_an_event_is_told_that_it_is_a_dead_letter(bench: MakeBench) -> None:
    run = bench(failing(tell))
    run.feed(1, 2)
    await run.committable(2)
    assert len(run.sent.dead) == 1
    assert sorted((done.lane, done.number) for done in run.sent.published) == [("It can't be done.", 1), ("ok", 2)]


async def test_it_counts_only_once_that_is_acknowledged(bench: MakeBench) -> None:
    run = bench(failing(tell))
    run.sent.hold = True
    run.feed(1)
    await until(lambda: run.sent.held, "what is told is on its way")
    assert run.sent.dead
    assert run.part.safe is None
    for release in run.sent.held:
        release()
    await run.committable(1)


async def test_while_kafka_is_away_it_is_told_again(bench: MakeBench) -> None:
    run = bench(failing(tell))
    run.sent.errors = [NotDelivered("The broker doesn't answer.")]
    run.feed(1)
    await run.committable(1)
    assert len(run.sent.dead) == 1
    assert [done.number for done in run.sent.published] == [1, 1]


@pytest.mark.parametrize("told", [lambda *_: 1 / 0, lambda *_: ["no event"], lambda *_: None])
async def test_what_a_stream_says_there_changes_nothing_for_its_event(bench: MakeBench, told: Any) -> None:
    run = bench(failing(told))
    run.feed(1, 2)
    await run.committable(2)
    assert len(run.sent.dead) == 1
    assert [done.number for done in run.sent.published] == [2]


async def test_of_bytes_that_are_no_event_nothing_is_told(bench: MakeBench) -> None:
    run = bench(failing(tell))
    run.feed(b"!")
    await run.committable(1)
    assert len(run.sent.dead) == 1
    assert run.sent.published == []


async def test_a_coroutine_is_refused_where_it_is_declared() -> None:
    async def slow(*_: object) -> None: ...

    with pytest.raises(StreamError, match="on_dead_letter must be a plain function"):
        failing(slow)
