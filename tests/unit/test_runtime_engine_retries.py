"""Retries of the engine that wait: what was put off by an earlier owner, and what goes around by schedule.delayed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from tests.unit.engine_bench import Bench, Handler, MakeBench, until
from tests.unit.sample_message import SampleMessage
from tidemill.errors import EventTooLarge, NotDelivered, RetryAfter
from tidemill.runtime.finished import Ahead, Held
from tidemill.runtime.outcomes import Waits
from tidemill.runtime.retry import Retry

AROUND = Waits(retry_topic="g.retry")
LONG = Retry(attempts=3, first=60.0, jitter=0.0)


def taken_over(run: Bench, *held: Held) -> None:
    """Let the bench's partition be one that an earlier owner has put events off of."""
    run.engine.lose([("step.asked", 0)])
    run.part = run.engine.assign("step.asked", 0, Ahead([], list(held)))


def in_seconds(offset: int, attempts: int, seconds: float) -> Held:
    return Held(offset, attempts, int((time.time() + seconds) * 1000), 60)


async def test_an_event_that_was_put_off_waits_for_what_is_left_and_counts_on(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    taken_over(run, in_seconds(0, 2, 0.2))
    begun = time.monotonic()
    run.feed(1, 2, key=b"one")
    run.feed(3, key=b"other", first=2)
    await run.committable(3)
    assert handler.calls == [(3, 1), (1, 3), (2, 1)]
    assert handler.times[1] - begun >= 0.19
    assert run.part.held == {}


async def test_an_event_whose_time_has_come_meanwhile_starts_at_once(bench: MakeBench) -> None:
    handler = Handler()
    run = bench(handler.stream())
    taken_over(run, in_seconds(0, 1, -30.0))
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 2)]


async def test_one_that_was_put_off_behind_another_of_its_key_waits_for_both(bench: MakeBench) -> None:
    # Its map had no room for all that was finished.
    handler = Handler()
    run = bench(handler.stream())
    taken_over(run, in_seconds(1, 1, 0.2))
    begun = time.monotonic()
    run.feed(1, 2, 3, key=b"one")
    await run.committable(3)
    assert handler.calls == [(1, 1), (2, 2), (3, 1)]
    assert handler.times[1] - begun >= 0.19


async def test_of_a_batch_the_one_that_was_put_off_waits_by_itself(bench: MakeBench) -> None:
    handler = Handler()
    declared = handler.stream()
    object.__setattr__(declared, "batch", 10)
    object.__setattr__(declared, "order", "none")

    async def steps(events: list) -> None:  # type: ignore[type-arg]
        await handler(sum(event.payload.number for event in events), len(events))

    object.__setattr__(declared, "handler", steps)
    object.__setattr__(declared, "takes_work", False)
    run = bench(declared)
    taken_over(run, in_seconds(1, 1, 0.1))
    run.feed(10, 20, 30)
    await run.committable(3)
    assert handler.calls == [(10, 1), (30, 1), (20, 1)]


async def test_without_order_a_long_wait_goes_around_and_counts_as_done_here(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(order="none", retry=LONG), waits=AROUND)
    run.feed(1, 2)
    await run.committable(2)
    ((offset, attempts, due),) = run.sent.later
    assert (offset, attempts) == (0, 1)
    assert 58 < (due - datetime.now(UTC)).total_seconds() <= 60
    assert run.engine.finished == 1
    assert run.part.held == {}


async def test_a_short_wait_stays_in_the_worker(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [RetryAfter(0.05), RetryAfter(90)]
    run = bench(handler.stream(order="none", retry=Retry(attempts=3, in_place=0.1)), waits=AROUND)
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 1), (1, 2)]
    assert [attempts for _, attempts, _ in run.sent.later] == [2]


async def test_what_comes_back_counts_its_tries_on(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [last := ValueError("no")]
    run = bench(handler.stream(order="none", retry=LONG), waits=AROUND)
    part = run.engine.partition("g.retry", 0)
    run.engine.feed(part, [SampleMessage(7, b"k", b"1", [("tm_attempt", b"3")], 0, "g.retry")])
    await until(lambda: run.sent.dead, "its last try fails")
    assert handler.calls == [(1, 3)]
    assert run.sent.dead == [(7, last, 3)]


async def test_a_retry_that_cannot_be_put_off_now_holds_its_place_until_it_is(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(order="none", retry=LONG), waits=AROUND)
    run.sent.refusals = [NotDelivered("The broker doesn't answer.")]
    run.feed(1)
    await until(lambda: not run.sent.refusals, "a first attempt")
    assert run.part.safe is None
    await run.committable(1)
    assert len(run.sent.later) == 1
    assert len(handler.calls) == 1


async def test_a_retry_that_is_refused_for_good_waits_in_the_worker(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [RetryAfter(0.1)]
    run = bench(handler.stream(order="none", retry=Retry(attempts=3, in_place=0.0)), waits=AROUND)
    run.sent.refusals = [EventTooLarge("Too large.")]
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 1), (1, 2)]
    assert run.sent.later == []


async def test_a_wait_that_a_handler_asks_for_is_shortened_to_what_is_safe(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [RetryAfter(3600.0)]
    run = bench(handler.stream(), waits=Waits(most_seconds=0.1))
    run.feed(1)
    await run.committable(1)
    assert handler.calls == [(1, 1), (1, 2)]


@pytest.mark.parametrize(("age_seconds", "tries"), [(0.0, 3), (100.0, 1)])
async def test_the_age_of_an_event_counts_from_its_timestamp(bench: MakeBench, age_seconds: float, tries: int) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")] * 3
    run = bench(handler.stream(retry=Retry(attempts=3, first=0.01, expires=50.0)))
    written_ms = int((time.time() - age_seconds) * 1000)
    run.engine.feed(run.part, [SampleMessage(0, b"k", b"1", timestamp_ms=written_ms)])
    await run.committable(1)
    assert len(handler.calls) == tries


async def test_an_event_without_a_timestamp_does_not_expire(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [ValueError("no")]
    run = bench(handler.stream(retry=Retry(attempts=3, first=0.01, expires=50.0)))
    run.engine.feed(run.part, [SampleMessage(0, b"k", b"1", timestamp_ms=-1)])
    await run.committable(1)
    assert len(handler.calls) == 2


async def test_units_that_wait_are_forgotten_with_their_partition(bench: MakeBench) -> None:
    handler = Handler()
    handler.outcomes[1] = [RetryAfter(0.1)]
    run = bench(handler.stream())
    run.feed(1)
    await until(lambda: run.part.held, "it waits")
    run.engine.lose([("step.asked", 0)])
    assert run.engine._outcomes.waiting.long(run.part, -1) == []
    await asyncio.sleep(0.15)  # Its time comes, and nothing happens.
    assert handler.calls == [(1, 1)]
