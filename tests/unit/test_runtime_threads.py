"""The pool of threads: an interruption reaches the handler, and never what runs after it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from random import Random

import pytest

from tidemill.errors import HandlerTimeout
from tidemill.runtime.executors import StuckHandler, ThreadExecutor
from tidemill.runtime.executors import thread as thread_module


def spin(seconds: float) -> str:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(20))
    return threading.current_thread().name


async def test_interruptions_around_the_very_end_of_a_call_never_damage_the_pool() -> None:
    executor = ThreadExecutor(4)
    luck = Random(1)
    outcomes: Counter[str] = Counter()
    limit_seconds = 0.002

    async def one_after_another(calls: int) -> None:
        for _ in range(calls):
            try:
                # From well before the limit to a little after it: many end in the very moment of the interruption.
                await executor.run(lambda: spin(luck.uniform(0.0, 0.003)), limit_seconds)
                outcomes["done"] += 1
            except HandlerTimeout:
                outcomes["too long"] += 1

    await asyncio.gather(*(one_after_another(700) for _ in range(4)))
    assert outcomes.total() == 2800
    assert outcomes["done"] > 100
    assert outcomes["too long"] > 100
    # All four threads still take calls, and nothing is left over that would hit the next one.
    together = threading.Barrier(4, timeout=10)

    def meet() -> str:
        together.wait()
        return threading.current_thread().name

    names = await asyncio.gather(*(executor.run(meet, None) for _ in range(4)))
    assert len(set(names)) == 4
    for _ in range(100):
        assert await executor.run(lambda: spin(0.0005), None) in names
    executor.stop()


async def test_a_call_that_swallows_the_interruption_is_late_all_the_same() -> None:
    executor = ThreadExecutor(1)

    def swallowing() -> str:
        try:
            return spin(30)
        except BaseException:  # noqa: BLE001 - a handler that shouldn't
            return "as if nothing had been"

    with pytest.raises(HandlerTimeout, match=r"longer than 0\.05 s and was stopped"):
        await executor.run(swallowing, 0.05)
    assert await executor.run(lambda: "next", 0.5) == "next"
    executor.stop()


async def test_what_a_call_raises_while_it_is_stopped_is_the_cause_of_its_time_out() -> None:
    executor = ThreadExecutor(1)

    def raising() -> None:
        try:
            spin(30)
        finally:
            raise OSError("while closing")

    with pytest.raises(HandlerTimeout) as caught:
        await executor.run(raising, 0.05)
    assert isinstance(caught.value.__cause__, OSError)
    executor.stop()


async def test_a_call_that_is_given_up_is_stopped_before_the_caller_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "STOP_GRACE_SECONDS", 0.1)
    executor = ThreadExecutor(1)
    ended, started, release = threading.Event(), threading.Event(), threading.Event()

    def looping() -> None:
        started.set()
        try:
            spin(30)
        finally:
            ended.set()

    task = asyncio.create_task(executor.run(looping, None))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()

    def blocked() -> None:
        started.set()
        release.wait(10)

    started.clear()
    task = asyncio.create_task(executor.run(blocked, None))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    try:
        with pytest.raises(StuckHandler, match=r"was to be given up, and its thread did not stop within 0\.1 s"):
            await task
    finally:
        release.set()
    executor.stop()
