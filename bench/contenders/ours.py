"""Tidemill: the measured streams, and a program that publishes with `Publisher` or `AsyncPublisher`.

The streams run in `tidemill worker bench.contenders.ours:NAME`. Their names come from `BENCH_GROUP`, so that every
round has a consumer group of its own and reads from the beginning.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time

from bench.meter import Meter
from bench.pace import KIND, RATE, WAIT_SECONDS, numbers, numbers_async, report, timed
from bench.sample import SIZES, source
from tidemill.config import load_settings
from tidemill.event import Event
from tidemill.events import ImageRequested, Rendition
from tidemill.publisher import AsyncPublisher, Publisher
from tidemill.runtime.stream import stream

METER = Meter()
GROUP = os.environ.get("BENCH_GROUP", "bench")
RENDITIONS = [Rendition(name=name, width=width, format="jpeg") for name, width in SIZES]
BUSY_ITERATIONS = 4400
"""Of PBKDF2 with SHA-256: about 1 ms of one processor."""


def ordinary_event(number: int) -> ImageRequested:
    """The event of a number; every 5,000th has the same key."""
    return ImageRequested(source=source(number), renditions=RENDITIONS)


@stream("image.requested", name=f"{GROUP}-noop")
async def noop(event: Event[ImageRequested]) -> None:
    """Count and do nothing else."""
    METER.tick()


@stream("image.requested", name=f"{GROUP}-noop-batch", batch=500)
async def noop_batch(events: list[Event[ImageRequested]]) -> None:
    """The same, many at once."""
    METER.tick(len(events))


@stream("image.requested", name=f"{GROUP}-wait", concurrency=500)
async def wait(event: Event[ImageRequested]) -> None:
    """Wait for 10 ms, as for a database or a service."""
    await asyncio.sleep(WAIT_SECONDS)
    METER.tick()


@stream("image.requested", name=f"{GROUP}-late")
async def late(event: Event[ImageRequested]) -> None:
    """Note how long an event was under way; its publisher wrote the time into a header."""
    sent = event.headers.get("sent")
    if sent is None:
        METER.tick()
    else:
        METER.late(float(sent))


@stream("image.requested", name=f"{GROUP}-busy", executor="inline")
def busy(event: Event[ImageRequested]) -> None:
    """Compute."""
    compute()
    METER.tick()


def compute() -> None:
    """Keep one processor busy for about 1 ms: always the same work, however long it takes."""
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", BUSY_ITERATIONS)


def publish() -> None:
    """Publish with `Publisher`; through when Kafka has acknowledged all."""
    # A service that wants low latency doesn't linger.
    settings = load_settings(**({"linger_ms": 0} if RATE else {}))
    with Publisher(settings) as publisher:
        if KIND != "late":
            publisher.publish(ordinary_event(0)).result(30)
        began = time.perf_counter()
        for number in numbers():
            publisher.publish(ordinary_event(number), headers={"sent": repr(time.time())} if timed(number) else None)
        publisher.flush()
        report(time.perf_counter() - began)


async def publish_async() -> None:
    """The same with `AsyncPublisher`."""
    async with AsyncPublisher(load_settings()) as publisher:
        await (await publisher.publish(ordinary_event(0)))
        began = time.perf_counter()
        async for number in numbers_async():
            await publisher.publish(ordinary_event(number))
        await publisher.flush()
        report(time.perf_counter() - began)


def compute_alone() -> None:
    """The work of `busy` without any stream, until killed: what two processes can reach at best."""
    while True:
        compute()
        METER.tick()


if __name__ == "__main__":
    if sys.argv[1] == "publish-async":
        asyncio.run(publish_async())
    else:
        {"publish": publish, "compute": compute_alone}[sys.argv[1]]()
