"""Time limits: what runs too long is stopped, and what can't be stopped costs the process, not the other events."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.integration.steps import StepAsked
from tests.integration.working import dead_letters, header, lag, prepare, publish, steps, until, working
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime import watch
from tidemill.runtime.executors import thread
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.runtime.worker import EXIT_RECYCLE

TWICE = Retry(attempts=2, first=0.01)
ONCE = Retry(attempts=1)


async def test_an_async_handler_is_cancelled_at_its_limit_and_tried_again(settings: Settings) -> None:
    prepare(settings)
    stopped: list[str] = []

    @stream("step.asked", name="slow", timeout=0.2, retry=TWICE)
    async def slow(event: Event[StepAsked], work: Work) -> None:
        assert work.remaining_seconds is not None
        assert 0 < work.remaining_seconds <= 0.2
        try:
            await asyncio.sleep(300 if event.payload.number == 0 else 0)
        except asyncio.CancelledError:
            stopped.append(event.payload.lane)
            if event.payload.lane == "comes back late":
                return
            if event.payload.lane == "raises":
                raise ValueError("while being stopped") from None
            raise

    lanes = ["obeys", "comes back late", "raises"]
    publish(settings, [step for lane in lanes for step in steps(lane, 2)])
    async with working(settings, slow) as worker:
        letters = await dead_letters(settings, 3)
        await until(lambda: worker.finished == 6, "the events after them are handled")
        assert await worker.stop() == 0
    assert sorted(stopped) == sorted(lanes * 2)
    for letter in letters:
        assert header(letter, "tm_dead_error") == "tidemill.errors.HandlerTimeout"
        assert header(letter, "tm_dead_message") == "The handler ran longer than 0.2 s and was stopped."
        assert header(letter, "tm_dead_attempts") == "2"
    raised = next(letter for letter in letters if letter.key() == b"raises")
    assert "ValueError: while being stopped" in header(raised, "tm_dead_trace")
    assert lag(settings, slow) == 0


async def test_a_handler_that_ignores_its_cancellation_costs_the_process_and_no_other_event(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "STOP_GRACE_SECONDS", 0.3)
    prepare(settings)
    release = asyncio.Event()
    done: list[int] = []

    @stream("step.asked", name="stubborn", timeout=0.5, retry=TWICE)
    async def stubborn(event: Event[StepAsked]) -> None:
        while event.payload.lane == "stubborn" and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(0.45)
        done.append(event.payload.number)

    publish(settings, [StepAsked(lane="stubborn", number=0), StepAsked(lane="a", number=1)])
    async with working(settings, stubborn) as worker:
        await until(lambda: 1 in done, "another event is handled")
        # Begun shortly before the process gives up: it is finished all the same.
        publish(settings, [StepAsked(lane="b", number=2)])
        assert await asyncio.wait_for(worker.task, 10) == EXIT_RECYCLE
        (letter,) = await dead_letters(settings, 1)
        release.set()
    assert header(letter, "tm_dead_error").endswith("StuckHandler")
    assert "ignored that it was cancelled" in header(letter, "tm_dead_message")
    assert "Don't catch CancelledError" in header(letter, "tm_dead_message")
    assert lag(settings, stubborn) == (0 if 2 in done else 1)


async def test_a_python_loop_in_a_thread_is_interrupted_at_its_limit(settings: Settings) -> None:
    prepare(settings)
    ends: list[str] = []

    @stream("step.asked", name="looping", timeout=0.2, retry=TWICE, concurrency=1)
    def looping(event: Event[StepAsked]) -> None:
        try:
            while event.payload.number == 0:
                sum(range(100))
        finally:
            ends.append(threading.current_thread().name)

    publish(settings, steps("a", 3))
    async with working(settings, looping) as worker:
        (letter,) = await dead_letters(settings, 1)
        await until(lambda: worker.finished == 3, "the events after it are handled")
        assert await worker.stop() == 0
    assert header(letter, "tm_dead_message") == "The handler ran longer than 0.2 s and was stopped."
    assert len(ends) == 4
    assert len(set(ends)) == 1  # The same thread goes on.


async def test_a_blocking_call_in_a_thread_costs_the_process_and_no_other_event(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "STOP_GRACE_SECONDS", 0.5)
    prepare(settings)
    release = threading.Event()
    done: list[int] = []

    @stream("step.asked", name="blocked", timeout=0.5, retry=TWICE, concurrency=1)
    def blocked(event: Event[StepAsked]) -> None:
        if event.payload.number == 0:
            release.wait(60)  # One call in C: no exception comes up before it returns.
        done.append(event.payload.number)

    publish(settings, steps("a", 3))
    try:
        async with working(settings, blocked) as worker:
            assert await asyncio.wait_for(worker.task, 15) == EXIT_RECYCLE
            (letter,) = await dead_letters(settings, 1)
    finally:
        release.set()
    assert header(letter, "tm_dead_error").endswith("StuckHandler")
    assert "its thread did not stop within" in header(letter, "tm_dead_message")
    assert "executor='process'" in header(letter, "tm_dead_message")
    # With no thread left, the ones behind it are handed back, not blamed.
    assert done == []
    assert lag(settings, blocked) == 2


async def test_a_thread_of_a_lost_partition_holds_its_slot_until_it_has_stopped(settings: Settings) -> None:
    prepare(settings)
    release = threading.Event()
    done: list[int] = []

    @stream("step.asked", name="lost", timeout=1.0, retry=TWICE, concurrency=1)
    def lost(event: Event[StepAsked]) -> None:
        if event.payload.number == 0 and not release.is_set():
            release.wait(2.0)
        done.append(event.payload.number)

    publish(settings, steps("a", 2))
    async with working(settings, lost) as worker:
        (engine,) = worker.engines
        await until(lambda: engine.slots[0].unit is not None, "the handler runs")
        part = next(part for part in engine.parts.values() if part.running)
        engine.lose([(part.topic, part.number)])
        assert not part.changed
        release.set()
        await until(lambda: engine.slots[0].unit is None, "its slot is free")
        publish(settings, [StepAsked(lane="a", number=number) for number in (7, 8)])
        await until(lambda: 8 in done, "later events are handled by the same thread")
        assert engine.slots[0].task is not None
    assert part.safe is None


async def test_without_a_limit_a_handler_takes_its_time(settings: Settings) -> None:
    prepare(settings)
    took: list[float] = []

    @stream("step.asked", name="patient", timeout=None, retry=ONCE)
    async def patient(event: Event[StepAsked], work: Work) -> None:
        assert work.remaining_seconds is None
        started = time.monotonic()
        await asyncio.sleep(1.0)
        took.append(time.monotonic() - started)

    publish(settings, steps("a", 1))
    async with working(settings, patient):
        await until(lambda: took, "it is done")
    assert took[0] >= 1.0
    assert lag(settings, patient) == 0
