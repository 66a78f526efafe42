"""A unit's outputs: it is settled once, when the broker has answered for all of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.unit.sample_message import SampleMessage
from tidemill.config import load_settings
from tidemill.errors import EventTooLarge, NotDelivered
from tidemill.event import Event
from tidemill.runtime.outputs import Outputs
from tidemill.runtime.partition import Partition, Unit, units_of
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output


@stream("step.asked", name="answering")
async def answering(event: Event[StepAsked]) -> StepDone:
    return StepDone(lane="a", number=1)


class Publisher:
    """Takes messages until it refuses one; the test answers for them."""

    def __init__(self) -> None:
        self.taken: list[Callable[[Any], None]] = []
        self.takes = 1000

    async def ready_for(self, _: type) -> None:
        return None

    async def send(self, _: Any, on_receipt: Callable[[Any], None]) -> None:
        if len(self.taken) == self.takes:
            raise EventTooLarge("2,000,000 bytes.")
        self.taken.append(on_receipt)

    def answer(self, number: int, error: Exception | None = None) -> None:
        self.taken[number](SimpleNamespace(error=error))


class Run:
    """One unit with three outputs."""

    def __init__(self) -> None:
        nothing: Any = SimpleNamespace()
        self.outputs = Outputs(answering, load_settings(), nothing)
        self.publisher = Publisher()
        anything: Any = self.publisher
        self.outputs._publisher = anything
        preparer: Any = SimpleNamespace(prepare=lambda *_, **given: given["event_id"])
        self.outputs._preparer = preparer
        message = SampleMessage()
        (self.unit,) = units_of(Partition("step.asked", 0, ordered=True), [message], batch=None, ordered=True)
        self.event = Event.received(StepAsked(lane="a", number=1), message)
        self.settled: list[Exception | None] = []

    async def publish(self) -> None:
        def settled(unit: Unit, error: Exception | None) -> None:
            assert unit is self.unit
            self.settled.append(error)

        three = [Output(StepDone(lane="a", number=number)) for number in range(3)]
        await self.outputs.publish(self.unit, [self.event], three, settled)


@pytest.fixture
async def run() -> Run:
    return Run()


async def test_a_unit_is_settled_once_all_its_outputs_are_acknowledged(run: Run) -> None:
    await run.publish()
    run.publisher.answer(2)
    run.publisher.answer(0)
    assert run.settled == []
    run.publisher.answer(1)
    assert run.settled == [None]


async def test_one_that_fails_fails_all_once_the_others_are_answered_for(run: Run) -> None:
    await run.publish()
    first = NotDelivered("no answer")
    run.publisher.answer(1, first)
    run.publisher.answer(0, NotDelivered("no answer either"))
    assert run.settled == []
    run.publisher.answer(2)
    assert run.settled == [first]
    assert run.unit.error is None  # The next try begins afresh.


async def test_one_that_is_not_taken_is_told_after_those_that_were(run: Run) -> None:
    run.publisher.takes = 2
    await run.publish()
    assert run.settled == []
    run.publisher.answer(0)
    run.publisher.answer(1)
    (error,) = run.settled
    assert isinstance(error, EventTooLarge)


async def test_where_none_is_taken_that_is_told_at_once(run: Run) -> None:
    run.publisher.takes = 0
    await run.publish()
    (error,) = run.settled
    assert isinstance(error, EventTooLarge)
