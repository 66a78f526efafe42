"""What is told of events that take their time: by their handlers, and by the runtime itself."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.unit.engine_bench import Handler, MakeBench, returning, until
from tests.unit.sample_message import SampleMessage
from tidemill.errors import NotDelivered
from tidemill.event import Event
from tidemill.events import JobProgress
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output, Work


def states(run: Any) -> list[tuple[str, int]]:
    return [(told.state, told.attempt) for told in run.sent.told]


def look(run: Any, seconds: float) -> None:
    """As the watch does, so many seconds from now."""
    run.engine.check_deadlines(time.monotonic() + seconds, 5.0)


async def test_of_a_quick_event_that_succeeds_nothing_is_told(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    run.feed(1, 2)
    await run.committable(2)
    assert run.sent.told == run.sent.ended == []


async def test_a_handler_that_takes_its_time_is_told_once_a_try_and_so_is_its_end(bench: MakeBench) -> None:
    handler = Handler()
    gate = handler.gate(1)
    run = bench(handler.stream())
    message = SampleMessage(0, b"k", b"1", [("ce_id", b"event"), ("ce_type", b"step.asked"), ("tm_root", b"job")])
    run.engine.feed(run.part, [message])
    await until(lambda: handler.calls, "the event at work")
    look(run, 0.9)
    assert run.sent.told == []
    look(run, 1.1)
    look(run, 1.2)
    (told,) = run.sent.told
    assert (told.job, told.event, told.type, told.stream) == ("job", "event", "step.asked", "steps")
    assert (told.state, told.attempt, told.done, told.due, told.error) == ("running", 1, None, None, None)
    assert abs(told.at - datetime.now(UTC)) < timedelta(seconds=10)
    gate.set()
    await run.committable(1)
    assert states(run) == [("running", 1), ("done", 1)]


@pytest.mark.parametrize("executor", ["thread", "process"])
async def test_executors_that_stop_handlers_themselves_are_told_of_as_well(bench: MakeBench, executor: Any) -> None:
    run = bench(returning_nothing(executor))
    waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    run.engine._invoke._call = lambda events, work: waits
    run.feed(1)
    await until(lambda: run.part.running, "the event at work")
    look(run, 1.1)
    assert states(run) == [("running", 1)]
    waits.set_result(None)
    await run.committable(1)


@stream("step.asked", executor="process")
def in_a_process(event: Event[StepAsked]) -> None:
    """Never called."""


@stream("step.asked", executor="thread")
def in_a_thread(event: Event[StepAsked]) -> None:
    """Never called."""


def returning_nothing(executor: str) -> Any:
    return in_a_process if executor == "process" else in_a_thread


async def test_of_an_event_whose_outputs_follow_no_end_is_told(bench: MakeBench) -> None:
    run = bench(returning(5))
    hold: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    run.engine._invoke._call = lambda events, work: hold
    run.feed(1)
    await until(lambda: run.part.running, "the event at work")
    look(run, 1.1)
    hold.set_result([StepDone(lane="a", number=5)])
    await run.committable(1)
    assert states(run) == [("running", 1)]


async def test_a_long_wait_for_the_next_try_is_told_with_its_reason_and_its_end(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("the disk is full")]
    handler.outcomes[2] = [ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=2, first=1.0, jitter=0.0)))
    run.feed(1)
    await until(lambda: run.sent.told, "the wait is told")
    (told,) = run.sent.told
    assert (told.state, told.attempt, told.error) == ("waiting", 1, "ValueError: the disk is full")
    assert told.due is not None
    assert 0.5 < (told.due - told.at).total_seconds() < 1.5
    await run.committable(1)
    assert states(run) == [("waiting", 1), ("done", 2)]


async def test_a_short_wait_is_not_told(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream())
    run.feed(1)
    await run.committable(1)
    # Somebody may have been told of it by another worker: after a failed try its end is told.
    assert states(run) == [("done", 2)]


async def test_a_running_try_is_told_again_after_a_wait(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    gate = handler.gate(1)
    run = bench(handler.stream(retry=Retry(attempts=2, first=0.01, jitter=0.0)))
    run.feed(1)
    await until(lambda: len(handler.calls) == 1, "the first try")
    look(run, 1.1)
    gate.set()
    gate = handler.gates[1] = asyncio.Event()
    await until(lambda: len(handler.calls) == 2, "the second try")
    look(run, 1.1)
    gate.set()
    await run.committable(1)
    assert states(run) == [("running", 1), ("running", 2), ("done", 2)]


async def test_what_a_tracked_stream_finishes_is_told_as_an_output(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream(tracked=True))
    run.sent.hold = True
    run.feed(1)
    await until(lambda: run.sent.held, "its end is on its way")
    assert run.part.safe is None
    run.sent.held[0]()
    await run.committable(1)
    assert [(told.state, told.attempt) for told in run.sent.ended] == [("done", 1)]
    assert run.sent.told == []


async def test_of_a_batch_the_end_is_told_of_those_of_which_nothing_follows(bench: MakeBench) -> None:
    @stream("step.asked", batch=10, tracked=True)
    async def batch(events: list[Event[StepAsked]]) -> list[Output]:
        return [Output(StepDone(lane="a", number=event.payload.number), cause=event) for event in events[:1]]

    run = bench(batch)
    messages = [SampleMessage(n, b"k", b"%d" % n, [("ce_id", b"event %d" % n)]) for n in range(3)]
    run.engine.feed(run.part, messages)
    await run.committable(3)
    assert [done.number for done in run.sent.published] == [0]
    assert [(told.event, told.state) for told in run.sent.ended] == [("event 1", "done"), ("event 2", "done")]


async def test_what_a_handler_says_is_told_at_once_and_then_the_latest(bench: MakeBench) -> None:
    says: asyncio.Queue[int | None] = asyncio.Queue()

    @stream("step.asked")
    async def counts(event: Event[StepAsked], work: Work) -> None:
        while (done := await says.get()) is not None:
            work.progress(done, 10, unit="rows", note="x" * 2000)

    run = bench(counts)
    run.feed(1)
    says.put_nowait(1)
    await until(lambda: run.sent.told, "the first report")
    (told,) = run.sent.told
    assert (told.state, told.done, told.total, told.unit) == ("running", 1, 10, "rows")
    assert told.note == "x" * 1000
    for number in range(2, 9):
        says.put_nowait(number)
    await until(lambda: len(run.sent.told) == 2, "the latest report")
    assert run.sent.told[1].done == 8
    assert (run.sent.told[1].at - told.at).total_seconds() >= 0.45
    # The runtime has nothing to add.
    look(run, 1.1)
    assert len(run.sent.told) == 2
    says.put_nowait(None)
    await run.committable(1)
    assert states(run)[2:] == [("done", 1)]


async def test_a_thread_is_heard_and_what_is_no_number_fails_nobody(bench: MakeBench) -> None:
    @stream("step.asked", executor="thread")
    def counts(event: Event[StepAsked], work: Work) -> None:
        anything: Any = "many"
        work.progress(anything if event.payload.number == 1 else 5)
        time.sleep(0.05)

    run = bench(counts)
    run.feed(1, 2)
    await run.committable(2)
    assert [told.done for told in run.sent.told if told.state == "running"] == [5]


async def test_in_a_batch_each_event_has_a_progress_of_its_own(bench: MakeBench) -> None:
    @stream("step.asked", batch=10)
    async def counts(events: list[Event[StepAsked]], work: Work) -> None:
        for event in events:
            work.progress(event.payload.number, event=event)
        await asyncio.sleep(0)

    run = bench(counts)
    run.engine.feed(run.part, [SampleMessage(n, b"k", b"%d" % n, [("ce_id", b"event %d" % n)]) for n in range(3)])
    await run.committable(3)
    told = [(each.event, each.done) for each in run.sent.told if each.state == "running"]
    assert told == [("event 0", 0), ("event 1", 1), ("event 2", 2)]


async def test_in_a_batch_progress_needs_its_event(bench: MakeBench) -> None:
    @stream("step.asked", batch=10, retry=Retry(attempts=1))
    async def counts(events: list[Event[StepAsked]], work: Work) -> None:
        work.progress(1)

    run = bench(counts)
    run.feed(1)
    await run.committable(1)
    ((_, error, _),) = run.sent.dead
    assert "In a handler of batches progress needs its event" in str(error)


async def test_a_stream_of_progress_tells_nothing_of_its_own(bench: MakeBench) -> None:
    @stream("job.progress", tracked=True)
    async def shows(event: Event[JobProgress]) -> None:
        """It would be told of what it tells."""

    run = bench(shows)
    run.feed(1)
    await run.committable(1)
    assert run.sent.told == run.sent.ended == []


async def test_a_wait_for_kafka_is_told_too(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.runtime.burial.HOLD_FIRST_SECONDS", 1.0)
    run = bench(returning(1))
    run.sent.refusals = [NotDelivered("The broker doesn't answer.")]
    run.feed(1)
    await until(lambda: run.sent.told, "the wait is told")
    assert run.sent.told[0].state == "waiting"
    assert "The broker doesn't answer." in (run.sent.told[0].error or "")
