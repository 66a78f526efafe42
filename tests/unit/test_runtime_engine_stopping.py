"""The engine when something has to stop: a handler past its limit, a partition that goes elsewhere, the worker."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from tests.integration.steps import StepAsked
from tests.unit.engine_bench import Handler, MakeBench, returning, until
from tidemill.errors import HandlerCancelled, HandlerTimeout, NotDelivered, Reject
from tidemill.event import Event
from tidemill.runtime import burial
from tidemill.runtime.executors import StuckHandler
from tidemill.runtime.finished import from_metadata
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream


async def test_what_runs_for_a_lost_partition_is_stopped_and_counts_for_nothing(bench: MakeBench) -> None:
    handler = Handler()
    handler.gate(1)
    run = bench(handler.stream(), concurrency=1)
    run.feed(1, 2, key=b"one")
    await until(lambda: handler.calls, "the first event at work")
    lost = run.part
    run.engine.lose([("step.asked", 0)])
    await until(lambda: lost.running == 0, "nothing of it runs")
    assert handler.cancelled == [1]
    assert not lost.changed
    assert run.engine.committable() == []
    assert run.engine.finished == 0
    # Its slot is there again, for the partition's next assignment too.
    run.part = run.engine.partition("step.asked", 0)
    assert run.part is not lost
    run.feed(2, first=1)
    await run.committable(2)
    assert handler.calls == [(1, 1), (2, 1)]
    assert run.engine.finished == 1


async def test_outputs_of_a_lost_partition_that_are_acknowledged_later_count_for_nothing(bench: MakeBench) -> None:
    run = bench(returning(1))
    run.sent.hold = True
    run.feed(1)
    await until(lambda: run.sent.held, "an output on its way")
    lost = run.part
    run.engine.lose([("step.asked", 0)])
    run.sent.held[0]()
    assert (lost.running, lost.changed, run.engine.finished) == (0, False, 0)


async def test_a_retry_of_a_lost_partition_does_not_come_back(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=2, first=0.02, jitter=0.0)), concurrency=1)
    run.feed(1)
    await until(lambda: handler.calls, "a first try")
    run.engine.lose([("step.asked", 0)])
    run.part = run.engine.partition("step.asked", 0)
    handler.outcomes[3] = [ValueError("no")]
    run.feed(3, first=2)  # Its own retry comes after the lost one's would have.
    await run.committable(3)
    assert handler.calls == [(1, 1), (3, 1), (3, 2)]


async def test_quiescing_waits_for_what_runs_and_starts_nothing_more(bench: MakeBench) -> None:
    handler = Handler()
    gate = handler.gate(1)
    run = bench(handler.stream())
    run.feed(1, 2, key=b"one")
    await until(lambda: handler.calls, "the first event at work")
    asyncio.get_running_loop().call_later(0.02, gate.set)
    assert await run.engine.quiesce([run.part], 10)
    assert handler.calls == [(1, 1)]
    assert run.part.safe == 1


async def test_quiescing_gives_up_at_its_deadline(bench: MakeBench) -> None:
    handler = Handler()
    gate = handler.gate(1)
    run = bench(handler.stream())
    run.feed(1)
    await until(lambda: handler.calls, "the first event at work")
    assert not await run.engine.quiesce([run.part], 0.02)
    assert run.part.running == 1
    gate.set()
    await run.committable(1)


async def test_quiescing_does_not_wait_for_an_event_between_two_tries(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=2, first=300.0)))
    run.feed(1)
    await until(lambda: handler.calls and run.part.running == 0, "the wait for the next try")
    assert await run.engine.quiesce([run.part], 0.0)
    # Nothing is done, but whoever has the partition next is told of the try, and when the next one is due.
    progress = run.part.progress()
    assert progress is not None
    ((offset, attempts, _, wait_seconds),) = from_metadata(progress.offset, progress.metadata).held
    assert (progress.offset, offset, attempts) == (0, 0, 1)
    assert 150 <= wait_seconds <= 300


async def test_draining_finishes_what_runs_and_leaves_the_rest(bench: MakeBench) -> None:
    handler = Handler()
    gate = handler.gate(1)
    run = bench(handler.stream(), concurrency=1)
    run.feed(1, 2, 3)
    await until(lambda: handler.calls, "the first event at work")
    asyncio.get_running_loop().call_later(0.02, gate.set)
    assert await run.engine.drain(10)
    assert handler.calls == [(1, 1)]
    assert run.part.safe == 1
    run.feed(4, first=3)
    assert run.part.count == 2  # What comes now is not even taken in hand.


async def test_stopping_cancels_what_runs_and_counts_nothing_of_it(bench: MakeBench) -> None:
    handler = Handler()
    handler.gate(1)
    run = bench(handler.stream())
    run.feed(1)
    await until(lambda: handler.calls, "the event at work")
    assert not await run.engine.drain(0.01)
    await run.engine.stop()
    assert handler.cancelled == [1]
    assert run.engine.committable() == []
    assert run.part.running == 0


async def test_a_handler_past_its_limit_is_cancelled_and_its_event_tried_again(bench: MakeBench) -> None:
    handler = Handler()
    gate = handler.gate(1)
    run = bench(handler.stream(timeout=30.0))
    run.feed(1)
    await until(lambda: handler.calls, "the event at work")
    run.engine.check_deadlines(time.monotonic() + 29, 5.0)
    assert not any(slot.overdue_since for slot in run.engine.slots)
    run.engine.check_deadlines(time.monotonic() + 31, 5.0)
    await until(lambda: len(handler.calls) == 2, "the second try")
    assert handler.cancelled == [1]
    gate.set()
    await run.committable(1)
    assert not run.engine.recycle.is_set()
    assert len(run.engine.slots) == 4


async def test_the_last_try_past_its_limit_is_a_dead_letter_that_names_the_limit(bench: MakeBench) -> None:
    handler = Handler()
    handler.gate(1)
    run = bench(handler.stream(timeout=30.0, retry=Retry(attempts=1)))
    run.feed(1)
    await until(lambda: handler.calls, "the event at work")
    run.engine.check_deadlines(time.monotonic() + 31, 5.0)
    await run.committable(1)
    ((_, error, _),) = run.sent.dead
    assert isinstance(error, HandlerTimeout)
    assert str(error) == "The handler ran longer than 30 s and was stopped."


async def test_a_handler_that_ignores_its_cancellation_is_left_and_the_process_replaced(bench: MakeBench) -> None:
    release = asyncio.Event()
    started: list[int] = []

    @stream("step.asked", timeout=30.0)
    async def stubborn(event: Event[StepAsked]) -> None:
        started.append(event.payload.number)
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    run = bench(stubborn)
    run.feed(1, 2, key=b"one")
    await until(lambda: started, "the event at work")
    (left,) = [slot for slot in run.engine.slots if slot.unit is not None]
    try:
        late = time.monotonic() + 31
        run.engine.check_deadlines(late, 5.0)
        run.engine.check_deadlines(late + 4, 5.0)
        assert not run.engine.recycle.is_set()
        run.engine.check_deadlines(late + 6, 5.0)
        assert run.engine.recycle.is_set()
        await run.committable(1)
        ((_, error, attempts),) = run.sent.dead
        assert (type(error), attempts) == (StuckHandler, 1)
    finally:
        release.set()  # Or the loop of a test that fails would never end.
    # The one that comes back too late settles nothing a second time.
    await asyncio.wait_for(left.task, 10)
    assert len(run.sent.dead) == 1
    assert run.engine.finished == 1
    assert started == [1]


async def test_a_handler_that_cancels_its_own_task_costs_its_own_try_only(bench: MakeBench) -> None:
    @stream("step.asked", retry=Retry(attempts=1))
    async def cancels(event: Event[StepAsked]) -> None:
        task = asyncio.current_task()
        assert task is not None
        if event.payload.number == 1:
            task.cancel()

    run = bench(cancels, concurrency=1)
    run.feed(1, 2)
    await run.committable(2)
    ((offset, error, _),) = run.sent.dead
    assert (offset, type(error)) == (0, HandlerCancelled)
    assert len(run.engine.slots) == 1


async def test_nobody_waits_for_a_dead_letter_between_two_attempts_to_write_it(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(burial, "HOLD_FIRST_SECONDS", 10.0)
    handler = Handler()
    handler.outcomes[1] = [Reject("no")]
    run = bench(handler.stream())
    run.sent.refusals = [NotDelivered("The broker doesn't answer.")]
    run.feed(1)
    await until(lambda: not run.sent.refusals, "a first attempt to bury")
    assert await run.engine.quiesce([run.part], 1.0)
    assert not run.part.changed


async def test_dead_letters_that_can_not_be_written_hold_no_partition_that_is_to_go(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [Reject("no")]
    run = bench(handler.stream())
    run.sent.refusals = [NotDelivered("The broker doesn't answer.")] * 10_000
    run.feed(1)
    await until(lambda: len(run.sent.refusals) < 9_999, "a second attempt to bury")
    assert await run.engine.quiesce([run.part], 10)
    await until(lambda: not run.engine._tasks, "the end of the attempts")
    assert run.part.running == 0
    assert not run.part.changed
    assert run.sent.dead == []
