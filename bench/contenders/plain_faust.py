"""Plain Faust: an agent as its documentation shows one, on Faust's own consumer, with the bare client's Avro."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from io import BytesIO
from typing import Any

import faust
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from bench.meter import Meter
from bench.pace import KIND, WAIT_SECONDS, numbers_async, report, timed
from bench.sample import request
from tidemill.events import ImageRequested

METER = Meter()
CONCURRENCY = 500
IN_FLIGHT = 1000
AVRO = parse_schema(ImageRequested.__contract__.schema)


def application() -> Any:
    """The application, without web server."""
    return faust.App(
        os.environ.get("BENCH_GROUP", "bench"),
        broker="kafka://" + os.environ["BENCH_KAFKA"],
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        datadir=os.environ["BENCH_FOLDER"],
    )


def topic_of(app: Any) -> Any:
    """The measured topic."""
    return app.topic(os.environ["BENCH_TOPIC"], value_serializer="raw", key_serializer="raw")


async def handle(value: bytes) -> None:
    """What the measurement wants: nothing, or 10 ms of waiting."""
    buffer = BytesIO(value)
    buffer.seek(5)
    schemaless_reader(buffer, AVRO, None)
    if KIND == "wait":
        await asyncio.sleep(WAIT_SECONDS)
    METER.tick()


async def agent(values: Any) -> None:
    """One event after the other; with `concurrency`, in so many copies of this agent."""
    if KIND == "late":
        async for event in values.events():
            sent = (event.headers or {}).get("sent")
            if sent is None:
                METER.tick()
            else:
                METER.late(float(sent))
    else:
        async for value in values:
            await handle(value)


async def work() -> None:
    """Consume until killed."""
    app = application()
    app.agent(topic_of(app), concurrency=CONCURRENCY if KIND == "wait" else 1)(agent)
    await app.start()
    await asyncio.Event().wait()


async def publish() -> None:
    """Publish, many under way at once; through when Kafka has acknowledged all."""
    app = application()
    topic = topic_of(app)
    await app.start_client()
    under_way: set[asyncio.Future[Any]] = set()
    began = time.perf_counter()
    async for number in numbers_async():
        event = request(number, timed=False)
        buffer = BytesIO(b"\x00\x00\x00\x00\x01")
        buffer.seek(5)
        schemaless_writer(buffer, AVRO, event)
        headers = {"sent": repr(time.time()).encode()} if timed(number) else None
        acknowledged = await topic.send(key=event["source"].encode(), value=buffer.getvalue(), headers=headers)
        under_way.add(acknowledged)
        if len(under_way) >= IN_FLIGHT:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    if under_way:
        await asyncio.wait(under_way)
    report(time.perf_counter() - began)
    sys.stdout.flush()
    os._exit(0)  # Its services take seconds to stop, and nothing is left to do.


if __name__ == "__main__":
    asyncio.run({"work": work, "publish": publish}[sys.argv[1]]())
