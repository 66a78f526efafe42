"""Publishing typed events: checked, encoded, enveloped, acknowledged by all replicas; and the bare client beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from io import BytesIO

from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer

from bench.events import ordinary_event
from bench.figures import Figure, median_of, ratios
from tidemill import broker
from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.events import ImageRequested, Rendition
from tidemill.publisher import AsyncPublisher, Publisher


def small_event(number: int) -> ImageRequested:
    """One rendition, with nothing but a name and a width."""
    return ImageRequested(source=f"s3://uploads/{number % 5000}.jpg", renditions=[Rendition(name="t", width=200)])


EVENTS: dict[str, Callable[[int], ImageRequested]] = {"ordinary event": ordinary_event, "small event": small_event}


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Measure the three ways in turn, each round until everything is acknowledged."""
    count, rounds = (20_000, 1) if quick else (150_000, 5)
    figures = []
    for event, make in EVENTS.items():
        bare, sync, concurrent = [], [], []
        for _ in range(rounds):
            bare.append(_bare(settings, count, make))
            sync.append(_sync(settings, count, make))
            concurrent.append(asyncio.run(_async(settings, count, make)))
        least = 40_000 if make is ordinary_event else None
        figures += [
            median_of(f"bare Producer + fastavro, {event}", bare, "events/s"),
            median_of(f"Publisher, {event}", sync, "events/s", least=least),
            median_of("Publisher beside the bare client", ratios(sync, bare), "x"),
            median_of(f"AsyncPublisher, {event}", concurrent, "events/s"),
            median_of("AsyncPublisher beside the bare client", ratios(concurrent, bare), "x"),
        ]
    return figures


def _sync(settings: Settings, count: int, make: Callable[[int], Payload]) -> float:
    with Publisher(settings) as publisher:
        publisher.publish(make(0)).result(30)
        began = time.perf_counter()
        for number in range(count):
            publisher.publish(make(number))
        publisher.flush()
        return count / (time.perf_counter() - began)


async def _async(settings: Settings, count: int, make: Callable[[int], Payload]) -> float:
    async with AsyncPublisher(settings) as publisher:
        await (await publisher.publish(make(0)))
        began = time.perf_counter()
        for number in range(count):
            await publisher.publish(make(number))
        await publisher.flush()
        return count / (time.perf_counter() - began)


def _bare(settings: Settings, count: int, make: Callable[[int], ImageRequested]) -> float:
    """What a person would write by hand: encode, produce, poll; no check, no envelope, no receipt."""
    schema = parse_schema(ImageRequested.__contract__.schema)
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    def encoded(event: ImageRequested) -> bytes:
        buffer = BytesIO()
        buffer.write(b"\x00\x00\x00\x00\x01")
        schemaless_writer(buffer, schema, event.to_record())
        return buffer.getvalue()

    producer = Producer(broker.producer_config(settings))
    topic = settings.qualified(ImageRequested.__contract__.topic)
    # As in the other ways, connecting isn't measured.
    producer.produce(topic, encoded(make(0)), on_delivery=delivered)
    producer.flush()
    began = time.perf_counter()
    for number in range(count):
        event = make(number)
        value = encoded(event)
        while True:
            try:
                producer.produce(topic, value, event.source, on_delivery=delivered)
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
