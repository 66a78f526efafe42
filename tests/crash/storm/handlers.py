"""The two streams of a storm, whose handlers do what an event's note says, and note down when they begin and are done.

What a note may say is in `notes.py`. A handler must not know anything but its event: whatever goes wrong, the rig alone
decides it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.crash.storm.events import ErrandAsked, ParcelSent, ReceiptGiven
from tests.crash.storm.ledgers import Handled, Mark, handlers_ledger, now_seconds
from tests.crash.storm.notes import TIMEOUT_SECONDS, Doing, wish
from tidemill import Event, Retry, Work, stream

RETRY = Retry(attempts=4, first=0.1, most=0.5)
ERRAND_MEMORY_BYTES = 400 * 1024 * 1024


class Refused(Exception):
    """What a handler raises that was told to."""


def _note_down(mark: Mark, event: Event[ParcelSent] | Event[ErrandAsked], work: Work, worker: int) -> None:
    payload = event.payload
    entry = Handled(
        mark,
        now_seconds(),
        event.id,
        work.stream,
        payload.lane,
        payload.number,
        event.position.partition,
        work.attempt,
        worker,
    )
    handlers_ledger().write(entry)


def _refuse_if_told(doing: Doing, work: Work) -> None:
    if doing is Doing.REFUSE_ALWAYS or (doing is Doing.REFUSE_ONCE and work.attempt == 1):
        raise Refused(f"told to, in try {work.attempt}")


@stream("parcel.sent", timeout=TIMEOUT_SECONDS, retry=RETRY, order="key")
async def parcels(event: Event[ParcelSent], work: Work) -> ReceiptGiven:
    """Take as long as the note says, or misbehave as a coroutine can."""
    _note_down("START", event, work, os.getpid())
    doing, seconds = wish(event.payload.note)
    if doing is Doing.HANG_ONCE and work.attempt == 1:
        await asyncio.sleep(TIMEOUT_SECONDS * 20)
    if doing is Doing.SWALLOW_CANCELLATION:
        await _swallow_cancellation()
    await asyncio.sleep(seconds)
    _refuse_if_told(doing, work)
    _note_down("DONE", event, work, os.getpid())
    return ReceiptGiven(lane=event.payload.lane, number=event.payload.number, note="parcels")


async def _swallow_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            # Just what a handler must never do.
            continue


@stream(
    "errand.asked",
    executor="process",
    concurrency=2,
    timeout=TIMEOUT_SECONDS,
    retry=RETRY,
    order="key",
    memory_bytes=ERRAND_MEMORY_BYTES,
    log_each=False,
)
def errands(event: Event[ErrandAsked], work: Work) -> ReceiptGiven:
    """Take as long as the note says, or misbehave as only a process can."""
    _note_down("START", event, work, os.getppid())
    doing, seconds = wish(event.payload.note)
    if work.attempt == 1:
        if doing is Doing.HANG_ONCE:
            time.sleep(TIMEOUT_SECONDS * 20)
        if doing is Doing.KILL_ITSELF_ONCE:
            os.kill(os.getpid(), signal.SIGKILL)
        if doing is Doing.EAT_MEMORY_ONCE:
            _eat_memory()
    time.sleep(seconds)
    _refuse_if_told(doing, work)
    _note_down("DONE", event, work, os.getppid())
    return ReceiptGiven(lane=event.payload.lane, number=event.payload.number, note="errands")


def _eat_memory() -> None:
    hoard: list[bytearray] = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))
