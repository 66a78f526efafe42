"""What becomes of an event whose handler fails: tried again as the policy says, then a dead letter that tells why."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    DEAD,
    DONE,
    dead_letters,
    encoded,
    ends,
    header,
    lag,
    prepare,
    produce,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill.config import Settings
from tidemill.errors import BrokerUnreachable, ObjectMissing, Reject
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output, Work

QUICK = Retry(attempts=3, first=0.05, most=0.1, jitter=0)


async def test_an_event_that_succeeds_at_the_third_try_leaves_no_dead_letter(settings: Settings) -> None:
    prepare(settings)
    tries: list[tuple[int, float]] = []

    @stream("step.asked", name="third", retry=QUICK)
    async def third(event: Event[StepAsked], work: Work) -> StepDone:
        tries.append((work.attempt, time.monotonic()))
        work.emit(StepDone(lane="a", number=work.attempt))
        if work.attempt < 3:
            raise OSError("not yet")
        return StepDone(lane="a", number=100)

    publish(settings, steps("a", 1))
    async with working(settings, third):
        await until_there(settings, DONE, 2)
    assert [attempt for attempt, _ in tries] == [1, 2, 3]
    assert tries[1][1] - tries[0][1] >= 0.05
    assert tries[2][1] - tries[1][1] >= 0.1
    # What the failed tries had emitted is not published.
    assert sum(ends(settings, DONE).values()) == 2
    assert sum(ends(settings, DEAD).values()) == 0
    assert lag(settings, third) == 0


async def test_a_dead_letter_has_the_event_byte_for_byte_and_says_what_happened(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="failing", retry=QUICK)
    async def failing(event: Event[StepAsked]) -> None:
        raise LookupError("no such Ünvoice")

    value = encoded(settings, StepAsked(lane="k", number=1))
    headers = [("colour", b"red"), ("colour", b"blue"), ("empty", b""), ("none", None), ("raw", b"\xff\x00")]
    before_ms = int(time.time() * 1000)
    produce(settings, [value], key=b"k\xff\x00", headers=headers, partition=2)
    async with working(settings, failing):
        (letter,) = await dead_letters(settings, 1)
    assert letter.value() == value
    assert letter.key() == b"k\xff\x00"
    assert list(letter.headers() or ())[:5] == headers
    assert header(letter, "tm_dead_error") == "LookupError"
    assert header(letter, "tm_dead_message") == "no such Ünvoice"
    trace = header(letter, "tm_dead_trace")
    assert 'raise LookupError("no such Ünvoice")' in trace
    assert __file__ in trace
    assert header(letter, "tm_dead_attempts") == "3"
    assert header(letter, "tm_dead_stream") == "failing"
    assert header(letter, "tm_dead_handler").endswith("<locals>.failing")
    assert header(letter, "tm_dead_topic") == settings.qualified("step.asked")
    assert (header(letter, "tm_dead_partition"), header(letter, "tm_dead_offset")) == ("2", "0")
    assert before_ms - 1000 <= int(header(letter, "tm_dead_timestamp")) <= before_ms + 10_000
    assert lag(settings, failing) == 0


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its message fails")


def _raise(error: BaseException) -> Any:
    raise error


class NotAnException(BaseException):
    pass


FAILURES: dict[str, tuple[Callable[[], Any], int, str, str]] = {
    # What the handler does, how often it is tried, and the class and a part of the message in the dead letter.
    "rejected": (lambda: _raise(Reject("not for us")), 1, "tidemill.errors.Reject", "not for us"),
    "hopeless by class": (lambda: _raise(ObjectMissing("not there")), 1, "tidemill.errors.ObjectMissing", "not there"),
    "hopeless this time": (lambda: _raise(BrokerUnreachable("x", retriable=False)), 1, "BrokerUnreachable", "x"),
    "on the list of never": (lambda: _raise(KeyError("a key")), 1, "KeyError", "'a key'"),
    "without a message": (lambda: _raise(ValueError()), 3, "ValueError", "ValueError"),
    "with a broken __str__": (lambda: _raise(Silent()), 3, "Silent", "Silent, whose __str__ raises RuntimeError"),
    "a TimeoutError": (lambda: _raise(TimeoutError("its own")), 3, "TimeoutError", "its own"),
    "a CancelledError": (lambda: _raise(asyncio.CancelledError()), 3, "HandlerCancelled", "nobody had cancelled it"),
    "sys.exit": (lambda: sys.exit(3), 3, "HandlerError", "called sys.exit(3)"),
    "a KeyboardInterrupt": (lambda: _raise(KeyboardInterrupt()), 3, "HandlerError", "KeyboardInterrupt"),
    "no Exception": (lambda: _raise(NotAnException("odd")), 3, "HandlerError", "NotAnException: odd, which is no Exc"),
    "a number returned": (lambda: 42, 3, "TypeError", "a handler returns events or None, found int: 42"),
    "text among events": (lambda: [StepDone(lane="a", number=1), "x"], 3, "TypeError", "found str among them: 'x'"),
    "a class returned": (lambda: StepDone, 3, "TypeError", "found type"),
    "a broken generator": (lambda: (1 // 0 for _ in "a"), 3, "ZeroDivisionError", "division"),
    "an invalid output": (lambda: StepDone(lane="a", number=cast(int, "1")), 1, "InvalidEvent", "field 'number' must"),
    "no event class": (lambda: Output(cast(Any, "text")), 1, "ContractError", "str is not an event class"),
    "too large an output": (
        lambda: StepDone(lane="a", number=1, note="x" * 2_000_000),
        1,
        "EventTooLarge",
        "1,000,000",
    ),
}


@pytest.mark.parametrize("executor", ["async", "inline", "thread"])
async def test_every_kind_of_failure_becomes_its_dead_letter_and_the_stream_goes_on(
    settings: Settings, executor: Any
) -> None:
    prepare(settings)
    retry = Retry(attempts=3, first=0.01, most=0.01, never=(KeyError,))

    def plain(event: Event[StepAsked]) -> Any:
        return FAILURES[event.payload.lane][0]() if event.payload.number == 1 else None

    async def coroutine(event: Event[StepAsked]) -> Any:
        return plain(event)

    handler: Any = coroutine if executor == "async" else plain
    failing = stream("step.asked", name="failing", executor=executor, retry=retry)(handler)
    publish(settings, [step for lane in FAILURES for step in steps(lane, 3)])
    async with working(settings, failing) as worker:
        letters = await dead_letters(settings, len(FAILURES))
        await until(lambda: worker.finished == 3 * len(FAILURES), "the events after them are handled")
        assert await worker.stop() == 0
    assert lag(settings, failing) == 0
    by_lane = {(letter.key() or b"").decode(): letter for letter in letters}
    assert set(by_lane) == set(FAILURES)
    for lane, (_, attempts, error, message) in FAILURES.items():
        assert header(by_lane[lane], "tm_dead_error").endswith(error), lane
        assert message in header(by_lane[lane], "tm_dead_message"), lane
        assert header(by_lane[lane], "tm_dead_attempts") == str(attempts), lane


async def test_a_failing_event_publishes_nothing_of_what_it_returned_before_the_bad_output(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="half")
    async def half(event: Event[StepAsked]) -> list[StepDone]:
        return [StepDone(lane="a", number=1), StepDone(lane="a", number="no")]  # type: ignore[arg-type]

    publish(settings, steps("a", 1))
    async with working(settings, half):
        await dead_letters(settings, 1)
    assert sum(ends(settings, DONE).values()) == 0


async def test_a_handler_that_cancels_its_own_task_harms_nothing(settings: Settings) -> None:
    prepare(settings)
    done: list[int] = []

    @stream("step.asked", name="self-cancelling", concurrency=2, retry=Retry(attempts=2, first=0.01))
    async def self_cancelling(event: Event[StepAsked]) -> StepDone | None:
        task = asyncio.current_task()
        assert task is not None
        if event.payload.number % 3 == 0:
            task.cancel()  # Comes up at the next await, which is the runtime's own.
            return StepDone(lane="a", number=0)
        if event.payload.number % 3 == 1:
            task.cancel()
            await asyncio.sleep(1)
        done.append(event.payload.number)
        return None

    publish(settings, steps("a", 30))
    async with working(settings, self_cancelling) as worker:
        await until(lambda: worker.finished == 30, "all events are through")
        assert await worker.stop() == 0
    assert done == list(range(2, 30, 3))
    letters = await dead_letters(settings, 20)
    assert {header(letter, "tm_dead_error") for letter in letters} == {"tidemill.errors.HandlerCancelled"}


async def test_a_dead_letter_of_a_long_story_stays_within_its_room(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="wordy", retry=Retry(attempts=1))
    async def wordy(event: Event[StepAsked]) -> None:
        raise ValueError("\N{BANKNOTE WITH DOLLAR SIGN}" * 100_000 + "\ud800")

    most = settings.max_event_bytes - 200
    publish(settings, [StepAsked(lane="a", number=1, note="x" * (most - 500))])
    async with working(settings, wordy):
        (letter,) = await dead_letters(settings, 1)
    headers: Any = letter.headers()
    assert sum(len(name) + len(value) for name, value in headers if name.startswith("tm_dead_")) < 30_000
    assert header(letter, "tm_dead_message").endswith("...")
