"""Steady rates, and what a publishing program says when it is through. Standard library only, as `meter`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

COUNT = int(os.environ.get("BENCH_COUNT", "0"))
"""How many events to publish."""
RATE = float(os.environ.get("BENCH_RATE", "0"))
"""Events per second; 0 for as fast as possible."""
KIND = os.environ.get("BENCH_KIND", "noop")
"""What handlers do: `noop`, `wait` for 10 ms, or note how `late` an event is."""
WAIT_SECONDS = 0.01
WARM_UP_COUNT = int(os.environ.get("BENCH_WARM_UP", "0"))
"""The first so many events don't carry the time, so that connecting isn't what is measured."""


def timed(number: int) -> bool:
    """Whether the event of a number carries the time."""
    return KIND == "late" and number >= WARM_UP_COUNT


def numbers() -> Iterator[int]:
    """The numbers of the events to publish, each when it is due."""
    began = time.perf_counter()
    for number in range(COUNT):
        if RATE:
            wait = began + number / RATE - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
        yield number


async def numbers_async() -> AsyncIterator[int]:
    """The same on an event loop, which is let do other things at least every 100 events."""
    began = time.perf_counter()
    for number in range(COUNT):
        wait = began + number / RATE - time.perf_counter() if RATE else 0.0
        if wait > 0 or number % 100 == 0:
            await asyncio.sleep(max(0.0, wait))
        yield number


def report(seconds: float) -> None:
    """Tell the measuring program how long publishing took, acknowledgements included."""
    sys.stdout.write(json.dumps({"count": COUNT, "seconds": seconds}) + "\n")
