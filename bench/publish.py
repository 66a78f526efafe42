"""Publishing typed events: checked, encoded, enveloped, acknowledged by all replicas; and the bare client beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from io import BytesIO

from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer

from bench.events import ordinary_event
from bench.figures import Figure, median_of
from tidemill import broker
from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.events import ImageRequested, Rendition
from tidemill.publisher import AsyncPublisher, Publisher


def small_event(number: int) -> ImageRequested:
    """One rendition, with nothing but a name and a width."""
    return ImageRequested(source=f"s3://uploads/{number % 5000}.jpg", renditions=[Rendition(name="t", width=200)])


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Measure in turn, each round until everything is acknowledged."""
    count, rounds = (20_000, 1) if quick else (150_000, 5)
    ways: dict[str, Callable[[], float]] = {
        "bare Producer + fastavro, ordinary event": lambda: _bare(settings, count, ordinary_event),
        "Publisher, ordinary event": lambda: _sync(settings, count, ordinary_event),
        "AsyncPublisher, ordinary event": lambda: asyncio.run(_async(settings, count)),
        "bare Producer + fastavro, small event": lambda: _bare(settings, count, small_event),
        "Publisher, small event": lambda: _sync(settings, count, small_event),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way())
    return [
        median_of(name, found, "events/s", least=40_000 if name.startswith("Publisher") else None)
        for name, found in rates.items()
    ]


def _sync(settings: Settings, count: int, make: Callable[[int], Payload]) -> float:
    with Publisher(settings) as publisher:
        publisher.publish(make(0)).result(30)
        began = time.perf_counter()
        for number in range(count):
            publisher.publish(make(number))
        publisher.flush()
        return count / (time.perf_counter() - began)


async def _async(settings: Settings, count: int) -> float:
    async with AsyncPublisher(settings) as publisher:
        await (await publisher.publish(ordinary_event(0)))
        began = time.perf_counter()
        for number in range(count):
            await publisher.publish(ordinary_event(number))
        await publisher.flush()
        return count / (time.perf_counter() - began)


def _bare(settings: Settings, count: int, make: Callable[[int], ImageRequested]) -> float:
    """What a person would write by hand: encode, produce, poll; no check, no envelope, no receipt."""
    schema = parse_schema(ImageRequested.__contract__.schema)
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(broker.producer_config(settings))
    topic = settings.qualified(ImageRequested.__contract__.topic)
    began = time.perf_counter()
    for number in range(count):
        event = make(number)
        buffer = BytesIO()
        buffer.write(b"\x00\x00\x00\x00\x01")
        schemaless_writer(buffer, schema, event.to_record())
        while True:
            try:
                producer.produce(topic, buffer.getvalue(), event.source, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 100 == 0:
            producer.poll(0)
    producer.flush()
    seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"{len(failed)} events were not delivered: {failed[0]}")
    return count / seconds
