# mypy: disable-error-code="import-not-found"
"""FastStream over confluent-kafka: a subscriber with a pydantic model, and a program that publishes.

For handlers that wait, `max_workers`, which FastStream allows together with acknowledging first only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker
from pydantic import BaseModel

from bench.meter import Meter
from bench.pace import KIND, WAIT_SECONDS, numbers_async, report, timed
from bench.sample import request

METER = Meter()
WORKERS = 500
IN_FLIGHT = 1000
TOPIC = os.environ.get("BENCH_TOPIC", "")


class Rendition(BaseModel):
    """One picture that is asked for."""

    name: str
    width: int
    format: str


class Requested(BaseModel):
    """The event."""

    source: str
    renditions: list[Rendition]
    sent: float | None = None


def broker() -> KafkaBroker:
    """A broker's client that doesn't log every message."""
    return KafkaBroker(os.environ["BENCH_KAFKA"], logger=None, log_level=logging.WARNING)


async def handle(event: Requested) -> None:
    """What the measurement wants: nothing, 10 ms of waiting, or the delay."""
    if event.sent is not None:
        METER.late(event.sent)
        return
    if KIND == "wait":
        await asyncio.sleep(WAIT_SECONDS)
    METER.tick()


async def work() -> None:
    """Consume until killed."""
    own = broker()
    options = {"max_workers": WORKERS, "ack_policy": AckPolicy.ACK_FIRST} if KIND == "wait" else {}
    own.subscriber(TOPIC, group_id=os.environ["BENCH_GROUP"], auto_offset_reset="earliest", **options)(handle)
    await FastStream(own, logger=None).run()


async def publish() -> None:
    """Publish, many under way at once; each call returns when Kafka has acknowledged."""
    async with broker() as own:
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(event: Requested) -> None:
            try:
                await own.publish(event, TOPIC, key=event.source.encode())
            finally:
                room.release()

        if KIND != "late":
            await own.publish(Requested(**request(0, timed=False)), TOPIC)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as calls:
            async for number in numbers_async():
                await room.acquire()
                calls.create_task(one(Requested(**request(number, timed=timed(number)))))
        report(time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run({"work": work, "publish": publish}[sys.argv[1]]())
