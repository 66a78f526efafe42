"""What the engine makes of each outcome of a handler, and which offset may be committed when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.unit.engine_bench import Handler, MakeBench, returning, until
from tests.unit.sample_message import SampleMessage
from tidemill.errors import DecodeError, EventTooLarge, NotDelivered, Reject
from tidemill.event import Event
from tidemill.runtime.executors import ExecutorFault
from tidemill.runtime.invoke import Invoke
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work


async def test_a_failed_event_is_tried_again_after_its_wait_and_then_counts(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no"), ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=3, first=0.05, factor=2.0, jitter=0.0)))
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 1), (1, 2), (1, 3)]
    first, second, third = handler.times
    assert second - first >= 0.05
    assert third - second >= 0.1
    assert run.sent.dead == []
    assert run.engine.finished == 1


async def test_while_an_event_waits_for_its_next_try_its_key_waits_and_others_go_on(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=2, first=0.1, jitter=0.0)))
    run.feed(1, 2, key=b"one")
    run.feed(3, 4, key=b"other", first=2)
    await run.committable(4)
    assert handler.calls == [(1, 1), (3, 1), (4, 1), (1, 2), (2, 1)]


async def test_after_its_last_try_an_event_is_a_dead_letter_and_only_then_counts(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("1st"), ValueError("2nd"), last := ValueError("3rd")]
    run = bench(handler.stream())
    run.sent.refusals = [NotDelivered("The broker doesn't answer."), NotDelivered("Still not.")]
    run.feed(1, 2)
    await until(lambda: len(run.sent.refusals) < 2, "a first attempt to bury")
    assert run.part.safe is None
    await run.committable(2)
    assert run.sent.dead == [(0, last, 3)]
    assert run.engine.finished == 2


@pytest.mark.parametrize("error", [Reject("never"), KeyError("in never")])
async def test_what_is_never_to_be_tried_again_is_a_dead_letter_at_once(bench: MakeBench, error: Exception) -> None:
    handler = Handler()
    handler.outcomes[1] = [error]
    run = bench(handler.stream(retry=Retry(never=(KeyError,))))
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 1)]
    assert run.sent.dead == [(0, error, 1)]


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (SystemExit(3), "The handler called sys.exit(3)."),
        (KeyboardInterrupt(), "The handler raised KeyboardInterrupt"),
        (asyncio.CancelledError(), "The handler raised CancelledError, though nobody had cancelled it."),
        (StopAsyncIteration(), ""),
    ],
)
async def test_no_exception_of_a_handler_ends_anything_but_its_own_try(
    bench: MakeBench, raised: BaseException, says: str
) -> None:
    handler = Handler()
    handler.outcomes[1] = [raised, raised]
    run = bench(handler.stream(retry=Retry(attempts=2, first=0.0)), concurrency=1)
    run.feed(1, 2)
    await run.committable(2)
    assert handler.calls == [(1, 1), (2, 1), (1, 2)]
    ((offset, error, attempts),) = run.sent.dead
    assert (offset, attempts) == (0, 2)
    assert says in str(error)
    assert not run.engine.recycle.is_set()


async def test_bytes_that_are_no_event_are_a_dead_letter_without_a_try(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    run.feed(1, b"!", 3)
    await run.committable(3)
    ((offset, error, attempts),) = run.sent.dead
    assert (offset, type(error), attempts) == (1, DecodeError, 0)
    assert sorted(handler.calls) == [(1, 1), (3, 1)]


async def test_a_schema_is_fetched_once_however_many_events_wait_for_it(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream(), concurrency=8)
    run.values.answers.clear()
    run.feed(*[b"?%d" % number for number in range(50)])
    await until(lambda: run.part.running == 8, "eight events that wait for it")
    run.values.answers.set()
    await run.committable(50)
    assert run.values.learned == {7: 1}
    assert sorted(handler.calls) == [(number, 1) for number in range(50)]


async def test_while_the_registry_is_away_events_wait_and_no_try_is_counted(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream(retry=Retry(attempts=1)))
    run.values.registry_away = True
    run.feed(b"?1", 2)
    await until(lambda: run.values.learned[7] >= 3, "three attempts to fetch the schema")
    assert (2, 1) in handler.calls
    assert run.part.safe is None
    run.values.registry_away = False
    await run.committable(2)
    assert handler.calls[-1] == (1, 1)
    assert run.sent.dead == []


async def test_an_event_counts_once_all_its_outputs_are_acknowledged(bench: MakeBench) -> None:
    run = bench(returning(1, 2, 3))
    run.sent.hold = True
    run.feed(1, 2, key=b"one")
    await until(lambda: run.sent.held, "three outputs on their way")
    assert not run.part.changed
    assert run.part.running == 1
    run.sent.held[0]()
    assert run.part.safe == 1
    # The next event of its key starts only now.
    await until(lambda: len(run.sent.held) == 2, "the outputs of the next event")
    run.sent.held[1]()
    assert run.part.safe == 2


async def test_outputs_that_the_broker_does_not_take_now_cost_no_try(bench: MakeBench) -> None:
    attempts: list[int] = []

    @stream("step.asked", retry=Retry(attempts=1))
    async def returns(event: Event[StepAsked], work: Work) -> StepDone:
        attempts.append(work.attempt)
        return StepDone(lane="a", number=1)

    run = bench(returns)
    run.sent.errors = [NotDelivered("no answer"), NotDelivered("no answer")]
    run.feed(1)
    await run.committable(1)
    assert attempts == [1, 1, 1]
    assert len(run.sent.published) == 3
    assert run.sent.dead == []


async def test_an_output_that_can_never_be_published_is_the_failure_of_its_event(bench: MakeBench) -> None:
    run = bench(returning(1))
    error = EventTooLarge("2,000,000 bytes.")
    run.sent.errors = [error]
    run.feed(1)
    await run.committable(1)
    assert run.sent.dead == [(0, error, 1)]


async def test_what_is_no_event_among_what_is_returned_is_a_failure(bench: MakeBench) -> None:
    @stream("step.asked", retry=Retry(attempts=1))
    async def wrong(event: Event[StepAsked]) -> Any:
        return "done"

    run = bench(wrong)
    run.feed(1)
    await run.committable(1)
    ((_, error, attempts),) = run.sent.dead
    assert (type(error), attempts) == (TypeError, 1)


class Unreadable(SampleMessage):
    def key(self) -> bytes | None:
        raise SystemError("a null pointer")


async def test_events_that_can_not_be_taken_in_hand_stop_the_worker_before_anything_is_committed_past_them(
    bench: MakeBench,
) -> None:
    run = bench(Handler().stream())
    run.engine.feed(run.part, [Unreadable(0)])
    assert run.engine.recycle.is_set()
    assert not run.part.open
    run.feed(1, first=1)
    assert run.part.count == 0


async def test_a_fault_of_the_runtime_asks_for_another_process_and_commits_nothing(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Invoke, attempt: int) -> Work:
        raise ZeroDivisionError

    run = bench(Handler().stream())
    monkeypatch.setattr(Invoke, "work", broken)
    run.feed(1)
    await until(run.engine.recycle.is_set, "the wish for another process")
    assert not run.part.changed
    assert run.engine.fault is None


async def test_a_place_to_run_handlers_that_can_not_be_made_is_no_failure_of_an_event(bench: MakeBench) -> None:
    fault = ExecutorFault("No more processes.")
    handler = Handler()
    handler.outcomes[1] = [fault]
    run = bench(handler.stream())
    run.feed(1)
    await until(run.engine.recycle.is_set, "the end of this process")
    assert run.engine.fault is fault
    assert run.sent.dead == []
    assert not run.part.changed


async def test_slots_bound_how_many_run_at_once(bench: MakeBench) -> None:
    handler = Handler()
    for number in range(10):
        handler.gate(number)
    run = bench(handler.stream(), concurrency=3)
    run.feed(*range(10))
    await until(lambda: len(handler.calls) == 3, "three at work")
    assert run.part.running == 3
    assert run.engine.ready_count == 7
    for gate in handler.gates.values():
        gate.set()
    await run.committable(10)


async def test_a_handler_that_never_waits_lets_the_loop_do_other_things(bench: MakeBench) -> None:
    turns = 0
    run = bench(returning(), concurrency=1)
    run.feed(*range(1000))
    while run.part.safe != 1000:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 100_000
    assert turns >= 1000 // 64
