"""Streams that do nothing, and their counterparts without Tidemill: what `bench.drain` and `bench.latency` run.

`python -m bench.streams bare|faust COUNT` are the counterparts, each reading the same topic with the same decoding.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from tidemill.event import Event
from tidemill.events import ImageRequested
from tidemill.runtime.stream import stream


class Meter:
    """Notes when the first and the last of an expected number of events came, and writes that to a file."""

    def __init__(self) -> None:
        self.expected = int(os.environ.get("BENCH_COUNT", "0"))
        self.path = os.environ.get("BENCH_REPORT", "")
        self.count = 0
        self.first = 0.0
        self.delays: list[float] = []

    def tick(self, count: int = 1) -> bool:
        """Count events; returns whether all have come."""
        if self.count == 0:
            self.first = time.perf_counter()
        self.count += count
        if self.count < self.expected or not self.path:
            return False
        seconds = time.perf_counter() - self.first
        report = {"count": self.count, "seconds": seconds, "delays": self.delays}
        target = Path(self.path)
        target.with_suffix(".part").write_text(json.dumps(report), encoding="utf-8")
        target.with_suffix(".part").rename(target)
        return True


METER = Meter()


@stream("image.requested", name="noop")
async def noop(event: Event[ImageRequested]) -> None:
    """Count and do nothing else."""
    METER.tick()


@stream("image.requested", name="noop-batch", batch=500)
async def noop_batch(events: list[Event[ImageRequested]]) -> None:
    """The same, many at once."""
    METER.tick(len(events))


@stream("image.requested", name="late")
async def late(event: Event[ImageRequested]) -> None:
    """Note how long an event was under way; its publisher wrote the time into a header."""
    sent = event.headers.get("sent")
    if sent is not None:
        METER.delays.append(time.time() - float(sent))
        METER.tick()


def bare(count: int) -> None:
    """confluent-kafka and fastavro, by hand: no envelope, no order, no retries, no commits."""
    from confluent_kafka import Consumer
    from fastavro import parse_schema, schemaless_reader

    schema = parse_schema(ImageRequested.__contract__.schema)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["TIDEMILL_BOOTSTRAP_SERVERS"],
            "group.id": f"bare-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe(["image.requested"])
    METER.expected = count
    done = False
    while not done:
        for message in consumer.consume(1000, 1.0):
            buffer = BytesIO(message.value() or b"")
            buffer.seek(5)
            schemaless_reader(buffer, schema, None)
            done = METER.tick()
    consumer.close()


def plain_faust(count: int) -> None:
    """A Faust agent as its documentation shows one, with the same decoding."""
    import faust
    from fastavro import parse_schema, schemaless_reader

    schema = parse_schema(ImageRequested.__contract__.schema)
    broker = "kafka://" + os.environ["TIDEMILL_BOOTSTRAP_SERVERS"]
    app = faust.App(
        f"faust-{time.time_ns()}",
        broker=broker,
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        datadir=os.environ["BENCH_DATADIR"],
    )
    topic = app.topic("image.requested", value_serializer="raw", key_serializer="raw")
    METER.expected = count

    async def agent(events: Any) -> None:
        async for value in events:
            buffer = BytesIO(value)
            buffer.seek(5)
            schemaless_reader(buffer, schema, None)
            if METER.tick():
                os._exit(0)

    app.agent(topic)(agent)

    async def main() -> None:
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(main())


if __name__ == "__main__":
    {"bare": bare, "faust": plain_faust}[sys.argv[1]](int(sys.argv[2]))
