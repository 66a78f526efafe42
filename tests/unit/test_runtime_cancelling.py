"""What becomes of the events of a job that somebody has cancelled."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.unit.engine_bench import Handler, MakeBench, returning, until
from tests.unit.sample_message import SampleMessage
from tidemill.errors import EventTooLarge, NotDelivered, Reject
from tidemill.event import Event
from tidemill.events import JobCancel
from tidemill.runtime.cancels import Cancels, reason
from tidemill.runtime.effects.memory import MemoryLedger
from tidemill.runtime.effects.stream_effects import StreamEffects
from tidemill.runtime.finished import held_for
from tidemill.runtime.partition import Partition, units_of
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work


def message(number: int, job: str, offset: int | None = None, key: bytes | None = None) -> SampleMessage:
    headers: list[tuple[str, Any]] = [("ce_id", f"event {number}".encode()), ("tm_root", job.encode())]
    return SampleMessage(number if offset is None else offset, key or b"key %d" % number, b"%d" % number, headers)


def ended(run: Any) -> list[tuple[str, str, str | None]]:
    return [(told.event, told.state, told.error) for told in run.sent.ended]


async def test_an_event_of_a_cancelled_job_is_not_begun_and_counts_once_that_is_told(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    cancels.add("job 1", "by ann: wrong file")
    run = bench(handler.stream(cancellable=True), cancels=cancels)
    run.sent.hold = True
    run.engine.feed(run.part, [message(0, "job 1"), message(1, "job 2")])
    await until(lambda: run.sent.held and handler.calls, "both are through")
    assert run.part.safe is None
    run.sent.held[0]()
    await run.committable(2)
    assert handler.calls == [(1, 1)]
    assert ended(run) == [("event 0", "cancelled", "by ann: wrong file")]
    assert run.sent.ended[0].job == "job 1"
    assert run.sent.dead == []


async def test_a_stream_that_is_not_cancellable_heeds_no_cancel(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    cancels.add("job", "by ann")
    run = bench(handler.stream(), cancels=cancels)
    handler.gate(1)
    run.engine.feed(run.part, [message(0, "job"), message(1, "job")])
    await until(lambda: len(handler.calls) == 2, "both have begun")
    run.engine.cancel()
    handler.gate(1).set()
    await run.committable(2)
    assert handler.cancelled == []
    assert ended(run) == []


async def test_a_coroutine_of_a_cancelled_job_is_stopped_and_not_tried_again(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    handler.gate(0)
    handler.gate(1)
    run = bench(handler.stream(cancellable=True), concurrency=2, cancels=cancels)
    run.engine.feed(run.part, [message(0, "job"), message(1, "other"), message(2, "other", key=b"key 0")])
    await until(lambda: len(handler.calls) == 2, "both have begun")
    cancels.add("job", "by ann")
    run.engine.cancel()
    # The next event of its key goes on, in another slot.
    await until(lambda: (2, 1) in handler.calls, "the next event of its key")
    handler.gate(1).set()
    await run.committable(3)
    assert handler.cancelled == [0]
    assert ended(run) == [("event 0", "cancelled", "by ann")]
    assert len(run.engine.slots) == 2
    assert not run.engine.recycle.is_set()


async def test_a_coroutine_that_ignores_it_is_left_and_its_event_is_cancelled_all_the_same(bench: MakeBench) -> None:
    cancels = Cancels()
    at_work, goes_on = asyncio.Event(), asyncio.Event()

    @stream("step.asked", cancellable=True, timeout=None)
    async def deaf(event: Event[StepAsked]) -> None:
        at_work.set()
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue

    run = bench(deaf, concurrency=1, cancels=cancels)
    run.engine.feed(run.part, [message(0, "job")])
    await at_work.wait()
    cancels.add("job", "by ann")
    run.engine.cancel()
    run.engine.check_deadlines(time.monotonic() + 4, 5.0)
    assert not run.engine.recycle.is_set()
    run.engine.check_deadlines(time.monotonic() + 6, 5.0)
    await run.committable(1)
    assert run.engine.recycle.is_set()
    assert ended(run) == [("event 0", "cancelled", "by ann")]
    assert run.sent.dead == []
    goes_on.set()


@pytest.mark.parametrize(("raises", "follows"), [(True, []), (False, [7])])
async def test_a_thread_is_told_and_what_it_returns_is_published_unless_it_raises(
    bench: MakeBench, raises: bool, follows: list[int]
) -> None:
    cancels = Cancels()
    seen = threading.Event()

    @stream("step.asked", cancellable=True, executor="thread", retry=Retry(attempts=1))
    def looks(event: Event[StepAsked], work: Work) -> StepDone:
        seen.set()
        deadline = time.monotonic() + 10
        while not work.is_cancelled:
            assert time.monotonic() < deadline
        if raises:
            raise Reject("given up")
        return StepDone(lane="a", number=7)

    run = bench(looks, cancels=cancels)
    run.engine.feed(run.part, [message(0, "job")])
    await asyncio.to_thread(seen.wait, 10)
    cancels.add("job", "by ann")
    run.engine.cancel()
    await run.committable(1)
    assert [done.number for done in run.sent.published] == follows
    assert ended(run) == ([("event 0", "cancelled", "by ann")] if raises else [])
    assert run.sent.dead == []


async def test_an_event_that_waits_for_its_next_try_is_woken_and_cancelled(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    handler.outcomes[0] = [ValueError("no")]
    handler.outcomes[1] = [ValueError("no")]
    retry = Retry(attempts=2, first=500.0, most=500.0)
    run = bench(handler.stream(cancellable=True, retry=retry), cancels=cancels)
    run.engine.feed(run.part, [message(0, "job"), message(1, "other")])
    await until(lambda: len(run.part.held) == 2, "both wait")
    cancels.add("job", "by ann")
    run.engine.cancel()
    await run.committable(1)
    assert handler.calls == [(0, 1), (1, 1)]
    assert list(run.part.held) == [1]
    assert ended(run) == [("event 0", "cancelled", "by ann")]


async def test_an_event_that_an_earlier_owner_has_put_off_is_cancelled_at_once(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    cancels.add("job", "by ann")
    run = bench(handler.stream(cancellable=True), cancels=cancels)
    run.part.hold(held_for(0, 1, 500.0, time.time()))
    run.engine.feed(run.part, [message(0, "job")])
    await run.committable(1)
    assert handler.calls == []
    assert ended(run) == [("event 0", "cancelled", "by ann")]


async def test_an_event_whose_outputs_fail_after_the_cancel_is_not_tried_again(bench: MakeBench) -> None:
    cancels = Cancels()
    run = bench(returning(1, cancellable=True, retry=Retry(attempts=2, first=500.0)), cancels=cancels)
    run.sent.hold = True
    run.sent.errors = [EventTooLarge("2,000,000 bytes.")]
    run.engine.feed(run.part, [message(0, "job")])
    await until(lambda: run.sent.held, "its output is on its way")
    cancels.add("job", "by ann")
    run.engine.cancel()
    run.sent.hold = False
    run.sent.held[0]()
    await run.committable(1)
    assert ended(run) == [("event 0", "cancelled", "by ann")]


async def test_of_a_batch_only_the_events_of_the_cancelled_job_are_not_begun(bench: MakeBench) -> None:
    cancels = Cancels()
    cancels.add("job", "by ann")
    batches: list[list[int]] = []

    @stream("step.asked", cancellable=True, batch=10)
    async def batch(events: list[Event[StepAsked]]) -> None:
        batches.append([event.payload.number for event in events])

    run = bench(batch, cancels=cancels)
    run.engine.feed(run.part, [message(0, "other"), message(1, "job"), message(2, "third")])
    await run.committable(3)
    assert batches == [[0], [2]]
    assert ended(run) == [("event 1", "cancelled", "by ann")]


async def test_a_batch_that_runs_goes_on(bench: MakeBench) -> None:
    cancels = Cancels()
    at_work, goes_on = asyncio.Event(), asyncio.Event()

    @stream("step.asked", cancellable=True, batch=10)
    async def batch(events: list[Event[StepAsked]]) -> None:
        at_work.set()
        await goes_on.wait()

    run = bench(batch, cancels=cancels)
    run.engine.feed(run.part, [message(0, "other"), message(1, "job")])
    await at_work.wait()
    cancels.add("job", "by ann")
    run.engine.cancel()
    goes_on.set()
    await run.committable(2)
    assert ended(run) == []


async def test_while_it_can_not_be_told_a_cancelled_event_waits_and_is_not_begun(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    cancels.add("job", "by ann")
    run = bench(handler.stream(cancellable=True), cancels=cancels)
    run.sent.refusals = [NotDelivered("The broker doesn't answer."), NotDelivered("Still not.")]
    run.engine.feed(run.part, [message(0, "job")])
    await run.committable(1)
    assert handler.calls == []
    assert ended(run) == [("event 0", "cancelled", "by ann")]


async def test_where_it_can_never_be_told_the_event_is_a_dead_letter(bench: MakeBench) -> None:
    handler, cancels = Handler(), Cancels()
    cancels.add("job", "by ann")
    run = bench(handler.stream(cancellable=True), cancels=cancels)
    run.sent.refusals = [EventTooLarge("2,000,000 bytes.")]
    run.engine.feed(run.part, [message(0, "job")])
    await run.committable(1)
    assert handler.calls == []
    ((offset, error, attempts),) = run.sent.dead
    assert (offset, type(error), attempts) == (0, EventTooLarge, 0)


async def test_an_effect_under_way_when_its_job_is_cancelled_has_an_unknown_outcome(bench: MakeBench) -> None:
    cancels, ledger = Cancels(), MemoryLedger()
    charging = asyncio.Event()

    async def charge() -> None:
        charging.set()
        await asyncio.Event().wait()

    @stream("step.asked", cancellable=True)
    async def pays(event: Event[StepAsked], work: Work) -> None:
        await work.once("charge", charge, policy="hold")

    run = bench(pays, cancels=cancels)
    run.engine._invoke._effects = StreamEffects("tidemill.pays", "async", ledger)
    run.engine.feed(run.part, [message(0, "job")])
    await charging.wait()
    cancels.add("job", "by ann")
    run.engine.cancel()
    await run.committable(1)
    assert [(entry.name.event_id, entry.name.key, entry.state) for entry in ledger.entries] == [
        ("event 0", "charge", "unknown")
    ]
    assert ended(run) == [("event 0", "cancelled", "by ann")]
    # The event is not run again, so that nobody asks; who publishes it again is asked.
    assert run.sent.dead == []


def test_of_too_many_cancelled_jobs_the_oldest_are_forgotten() -> None:
    cancels = Cancels(most=2)
    for number in range(3):
        cancels.add(f"job {number}", f"by {number}")
    cancels.add("job 2", "by somebody who came later")
    units = units_of(
        Partition("step.asked", 0, ordered=True), [message(n, f"job {n}") for n in range(4)], batch=None, ordered=True
    )
    assert [cancels.why(unit) for unit in units] == [None, "by 1", "by 2", None]


def test_the_first_event_of_a_job_is_known_by_its_own_id() -> None:
    cancels = Cancels()
    cancels.add("event 0", "by ann")
    first = SampleMessage(with_headers=[("ce_id", b"event 0")])
    (unit,) = units_of(Partition("step.asked", 0, ordered=True), [first], batch=None, ordered=True)
    assert cancels.why(unit) == "by ann"


@pytest.mark.parametrize(
    ("cancel", "says"),
    [
        (JobCancel(job="1", by="ann", why="wrong\n file"), "by ann: wrong file"),
        (JobCancel(job="1", by="ann"), "by ann"),
        (JobCancel(job="1", why="wrong file"), "wrong file"),
        (JobCancel(job="1"), "no reason given"),
    ],
)
def test_who_cancels_and_why_are_one_line(cancel: JobCancel, says: str) -> None:
    assert reason(cancel) == says
