"""The watch over a process: what it makes of a clock that is set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.engine_bench import MakeBench, returning, until
from tidemill.runtime.watch import SET_BACK_SECONDS, Watch


@asynccontextmanager
async def watching(engine: Any) -> AsyncIterator[Watch]:
    watch = Watch([engine], [engine.stream], engine.wind_up)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_clock_that_is_set_back_ends_the_process(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench(returning(1))
    real = time.time
    async with watching(run.engine):
        monkeypatch.setattr(time, "time", lambda: real() - SET_BACK_SECONDS - 1)
        await until(run.engine.recycle.is_set, "the end of the process")
    assert run.engine.fault is None  # Another like it will do.


@pytest.mark.parametrize("step_seconds", [7200.0, SET_BACK_SECONDS / 2, -SET_BACK_SECONDS / 2])
async def test_a_clock_that_is_set_forward_or_corrected_a_little_does_not(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, step_seconds: float
) -> None:
    run = bench(returning(1))
    real = time.time
    async with watching(run.engine) as watch:
        before = watch._clock_ahead
        monkeypatch.setattr(time, "time", lambda: real() + step_seconds)
        await until(lambda: abs(watch._clock_ahead - before - step_seconds) < 0.1, "it has looked at the clock")
    assert not run.engine.recycle.is_set()
