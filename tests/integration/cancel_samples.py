"""Streams for the tests of progress and cancelling; processes of their own import them by name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from tests.integration.steps import StepAsked, StepDone
from tests.integration.stream_samples import note_down
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work

SECONDS = 60
STEPS_PER_SECOND = 100


@stream("step.asked", name="long", executor="process", concurrency=1, cancellable=True)
def long(event: Event[StepAsked], work: Work) -> StepDone:
    """Take a minute, and say how far it is; or no time at all for a note `quick`."""
    if event.payload.note != "quick":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        note_down(str(child.pid))
        total = SECONDS * STEPS_PER_SECOND
        for done in range(total):
            work.progress(done, total, unit="steps", note="at it")
            time.sleep(1 / STEPS_PER_SECOND)
    return StepDone(lane=event.payload.lane, number=event.payload.number)


@stream("step.asked", name="owing", executor="process", concurrency=1, cancellable=True)
def owing(event: Event[StepAsked], work: Work) -> None:
    """Be at an effect for a minute."""

    def charge() -> None:
        note_down("charging")
        time.sleep(60)

    work.once("charge", charge, policy="hold")


@stream("step.asked", name="failing", cancellable=True, retry=Retry(attempts=2, first=3000.0, most=3000.0))
async def failing(event: Event[StepAsked]) -> None:
    """Fail, unless the note says `fine`."""
    if event.payload.note != "fine":
        raise ValueError("not now")


@stream("step.asked", name="slow")
async def slow(event: Event[StepAsked]) -> None:
    """Take a bit more than a second."""
    await asyncio.sleep(1.6)
