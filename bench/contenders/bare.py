"""confluent-kafka and fastavro by hand: no check, no envelope, no order, no retries, no receipt, no commits.

What is left when everything is left out: the floor that the others are held against.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from confluent_kafka import Consumer, Message, Producer
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from bench.meter import Meter
from bench.pace import KIND, RATE, WAIT_SECONDS, numbers, report, timed
from bench.sample import request
from tidemill.events import ImageRequested

METER = Meter()
MOST_AT_ONCE = 1000
AVRO = parse_schema(ImageRequested.__contract__.schema)
TOPIC = os.environ.get("BENCH_TOPIC", "")


def consumed() -> Iterator[list[Message]]:
    """What each poll brings: waits for one message, then takes what is there."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_KAFKA"],
            "group.id": os.environ["BENCH_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([TOPIC])
    while True:
        first = consumer.poll(1.0)
        if first is not None:
            yield [first, *consumer.consume(MOST_AT_ONCE - 1, 0)]


def decoded(message: Message) -> Any:
    """The record in a message."""
    buffer = BytesIO(message.value() or b"")
    buffer.seek(5)
    return schemaless_reader(buffer, AVRO, None)


def work() -> None:
    """Handle one event after the other."""
    for messages in consumed():
        for message in messages:
            decoded(message)
            sent = dict(message.headers() or ()).get("sent") if KIND == "late" else None
            if sent is None:
                METER.tick()
            else:
                METER.late(float(sent))


async def work_together() -> None:
    """Handle all that a poll brings at once, each waiting for 10 ms."""

    async def one(message: Message) -> None:
        decoded(message)
        await asyncio.sleep(WAIT_SECONDS)
        METER.tick()

    for messages in consumed():
        await asyncio.gather(*map(one, messages))


def publish() -> None:
    """Publish; through when Kafka has acknowledged all."""
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(
        {
            "bootstrap.servers": os.environ["BENCH_KAFKA"],
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 0 if RATE else 5,
        }
    )
    producer.list_topics(TOPIC, timeout=10)
    began = time.perf_counter()
    for number in numbers():
        event = request(number, timed=False)
        buffer = BytesIO(b"\x00\x00\x00\x00\x01")
        buffer.seek(5)
        schemaless_writer(buffer, AVRO, event)
        headers: dict[str, str | bytes | None] | None = {"sent": repr(time.time())} if timed(number) else None
        while True:
            try:
                producer.produce(TOPIC, buffer.getvalue(), event["source"], headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        if RATE or number % 100 == 0:
            producer.poll(0)
    producer.flush()
    if failed:
        raise RuntimeError(f"{len(failed)} events were not delivered: {failed[0]}")
    report(time.perf_counter() - began)


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish()
    elif KIND == "wait":
        asyncio.run(work_together())
    else:
        work()
