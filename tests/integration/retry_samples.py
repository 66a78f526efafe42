"""Streams whose handlers fail, for the tests of retries over several worker processes."""

from __future__ import annotations

import asyncio
import time

from tests.integration.steps import StepAsked
from tests.integration.stream_samples import note_down
from tidemill.errors import RetryAfter
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work

IN_A_SECOND = Retry(attempts=4, first=1.0, factor=1.0, jitter=0.0)


@stream("step.asked", name="hopeless", retry=IN_A_SECOND)
async def hopeless(event: Event[StepAsked], work: Work) -> None:
    """Fail where the note says so, and note down every try, with the time."""
    note_down(f"TRY {event.payload.lane} {event.payload.number} {work.attempt} {time.time()}")
    if event.payload.note == "fail":
        raise OSError("never")


@stream("step.asked", name="late", retry=Retry(attempts=2, first=12.0, factor=1.0, jitter=0.0), room=100)
async def late(event: Event[StepAsked], work: Work) -> None:
    """Fail the first try where the note says so; note down what succeeds."""
    if event.payload.note == "late" and work.attempt == 1:
        raise OSError("not yet")
    note_down(f"DONE {event.payload.lane} {event.payload.number} {work.attempt}")


@stream("step.asked", name="asks-for-time", executor="process", concurrency=1, retry=Retry(attempts=2, first=300.0))
def asks_for_time(event: Event[StepAsked], work: Work) -> None:
    """Say itself when it is to be tried again."""
    note_down(f"TRY {event.payload.lane} {event.payload.number} {work.attempt} {time.time()}")
    if work.attempt == 1:
        raise RetryAfter(0.5, "the shop opens soon")


@stream("step.asked", name="flaky", retry=Retry(attempts=9, first=0.5, factor=1.0, jitter=0.5))
async def flaky(event: Event[StepAsked], work: Work) -> None:
    """Fail the first two tries where the note says so; note down what succeeds, and how long after it was published."""
    if event.payload.note == "fails twice" and work.attempt <= 2:
        raise OSError("not yet")
    await asyncio.sleep(0.005)
    took = time.time() - event.time.timestamp()
    note_down(f"DONE {event.payload.lane} {event.payload.number} {work.attempt} {took}")
