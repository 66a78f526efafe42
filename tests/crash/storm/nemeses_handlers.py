"""Nemeses that are handlers: an event is published whose handler hangs, can't be stopped, dies, or eats all memory."""

from __future__ import annotations

from random import Random

import psutil

from tests.crash.storm.field import Field
from tests.crash.storm.notes import Doing, note
from tests.integration.working import wait_until

FINISHED_SECONDS = 60.0


def hang(field: Field, luck: Random) -> str:
    """A handler that sleeps past its time limit, in its first try."""
    return _until_done(field, luck.choice(("parcels", "errands")), Doing.HANG_ONCE)


def die(field: Field, luck: Random) -> str:
    """A handler that kills its own process, in its first try."""
    return _until_done(field, "errands", Doing.KILL_ITSELF_ONCE)


def eat_memory(field: Field, luck: Random) -> str:
    """A handler that takes more memory than it may, in its first try."""
    return _until_done(field, "errands", Doing.EAT_MEMORY_ONCE)


def swallow_cancellation(field: Field, luck: Random) -> str:
    """A coroutine that can't be stopped: it costs its worker process, which finishes the rest and is replaced."""
    event_id = field.load.publish_one("parcels", note(Doing.SWALLOW_CANCELLATION))
    wait_until(lambda: field.tally.worker_of(event_id) is not None, f"parcel {event_id} begins", FINISHED_SECONDS)
    pid = field.tally.worker_of(event_id)
    assert pid is not None
    (place,) = [each for each in field.crew.places if pid in [worker.pid for worker in each.program.workers()]]
    ready = place.times_ready()
    wait_until(lambda: not psutil.pid_exists(pid), f"worker process {pid} is replaced", FINISHED_SECONDS)
    wait_until(lambda: place.times_ready() > ready, f"{place.name} has a worker process again", FINISHED_SECONDS)
    return f"{place.name}, process {pid}"


def _until_done(field: Field, stream: str, doing: Doing) -> str:
    event_id = field.load.publish_one(stream, note(doing))
    wait_until(lambda: field.tally.is_done(event_id), f"{event_id} of {stream} is done", FINISHED_SECONDS)
    return f"{stream}, event {event_id}"
