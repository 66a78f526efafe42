"""Streams for the tests that need them in a module: processes of their own import a handler by its name."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.integration.steps import StepAsked, StepDone
from tidemill.errors import Reject
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output, Work

ONCE_MORE = Retry(attempts=2, first=0.05, most=0.05)
LEDGER = "TEST_LEDGER"
"""Environment variable: the file that `ledger` appends to."""


def note_down(line: str) -> None:
    """Append a line to the test's ledger, in one write."""
    with Path(os.environ[LEDGER]).open("ab", buffering=0) as ledger:
        ledger.write(f"{line}\n".encode())


class Unpicklable(Exception):
    """It can be pickled, but not unpickled: its __init__ wants what pickle doesn't keep."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class HoldsALock(Exception):
    """It can't be pickled at all."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def _hog() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def _raise(error: BaseException) -> None:
    raise error


def _grandchild() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    note_down(str(process.pid))
    time.sleep(300)


ACTS: dict[str, Any] = {
    "raise": lambda: _raise(LookupError("no such invoice")),
    "reject": lambda: _raise(Reject("not for us")),
    "unpicklable": lambda: _raise(Unpicklable("this", "that")),
    "lock": lambda: _raise(HoldsALock()),
    "exit 3": lambda: os._exit(3),
    "exit 0": lambda: os._exit(0),
    "sys.exit": lambda: sys.exit(4),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "memory": _hog,
    "hang": lambda: time.sleep(300),
    "grandchild": _grandchild,
    "nothing good": lambda: 42,
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
}


@stream(
    "step.asked",
    name="processes",
    executor="process",
    concurrency=2,
    timeout=1.5,
    retry=ONCE_MORE,
    memory_bytes=400 * 1024 * 1024,
)
def processes(event: Event[StepAsked], work: Work) -> Any:
    """Do what the event's note says; say which process did it."""
    act = ACTS.get(event.payload.note)
    work.emit(StepDone(lane=event.payload.lane, number=event.payload.number, note=str(os.getpid())))
    return act() if act is not None else None


@stream("step.asked", name="in-batches", executor="process", concurrency=1, batch=10, retry=ONCE_MORE)
def in_batches(events: list[Event[StepAsked]]) -> Any:
    """Answer each event of a batch from a generator."""
    for event in events:
        if event.payload.note == "poison":
            raise ValueError("poison")
        yield Output(StepDone(lane="a", number=event.payload.number), cause=event)


@stream("step.asked", name="starved", executor="process", memory_bytes=1024)
def starved(event: Event[StepAsked]) -> None:
    """Its processes have too little memory even to begin."""


@stream("step.asked", name="ledger", retry=ONCE_MORE)
async def ledger(event: Event[StepAsked]) -> StepDone | None:
    """Note down the start and the end; take as many milliseconds as the note says. A lane named quiet gives nothing."""
    import asyncio

    payload = event.payload
    note_down(f"START {payload.lane} {payload.number} {os.getpid()} {time.monotonic_ns()}")
    if payload.note:
        await asyncio.sleep(int(payload.note) / 1000)
    note_down(f"DONE {payload.lane} {payload.number} {os.getpid()} {time.monotonic_ns()}")
    return None if payload.lane.startswith("quiet") else StepDone(lane=payload.lane, number=payload.number)


@stream("step.asked", name="ledger-process", executor="process", concurrency=2, retry=ONCE_MORE, timeout=None)
def ledger_process(event: Event[StepAsked]) -> None:
    """As `ledger`, in a process of a pool."""
    payload = event.payload
    note_down(f"START {payload.lane} {payload.number} {os.getpid()} {time.monotonic_ns()}")
    time.sleep(int(payload.note or 0) / 1000)
    note_down(f"DONE {payload.lane} {payload.number} {os.getpid()} {time.monotonic_ns()}")


@stream("step.asked", name="stubborn", timeout=0.3, retry=ONCE_MORE)
async def stubborn(event: Event[StepAsked]) -> None:
    """Ignore every cancellation where the note says so."""
    import asyncio

    note_down(f"START {event.payload.lane} {event.payload.number}")
    while event.payload.note == "ignore":
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            logging.getLogger(__name__).debug("ignored")
    await asyncio.sleep(0.05)
    note_down(f"DONE {event.payload.lane} {event.payload.number}")


@stream("step.asked", name="stubborn-batches", timeout=0.3, retry=ONCE_MORE, batch=10)
async def stubborn_batches(events: list[Event[StepAsked]]) -> None:
    """As `stubborn`, with batches."""
    for event in events:
        await stubborn.handler(event)


@stream("step.asked", name="pills", retry=ONCE_MORE)
async def pills(event: Event[StepAsked]) -> StepDone:
    """Do what the event's note says in the worker's own process; note down who gets through."""
    import asyncio

    note_down(f"START {event.payload.lane} {event.payload.number}")
    await asyncio.sleep(0.01)
    if event.payload.note:
        ACTS[event.payload.note]()
    note_down(f"DONE {event.payload.lane} {event.payload.number}")
    return StepDone(lane=event.payload.lane, number=event.payload.number)


@stream("step.asked", name="blocking", timeout=None)
async def blocking_when_stopped(event: Event[StepAsked]) -> None:
    """Block the event loop when cancelled."""
    import asyncio

    note_down(f"START {event.payload.lane} {event.payload.number}")
    try:
        await asyncio.sleep(300)
    finally:
        time.sleep(60)  # noqa: ASYNC251 - a handler that shouldn't


@stream("step.asked", name="ledger")
async def ledger_twin(event: Event[StepAsked]) -> None:
    """Another stream of a name that is taken."""


def note_down_step(event: Event[StepAsked]) -> None:
    """A plain function, not a stream."""
