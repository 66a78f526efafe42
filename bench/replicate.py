"""Large backlogs, quickly: one real event of Tidemill's, published as often as wanted under other keys.

Its id and its value repeat, which no reader minds; a worker decodes and handles each as any other. Batches of alike
events compress better than those of life, so the broker and the network have less to do than they would.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Producer

from bench.contenders.ours import RENDITIONS, ordinary_event
from bench.ground import Course
from tidemill import broker
from tidemill.events import ImageRequested
from tidemill.publisher import Publisher
from tidemill.tail import Tail

READ_SECONDS = 30.0
FLUSH_SECONDS = 120.0


@dataclass(frozen=True)
class Template:
    """What is published again and again: value and headers, as `Publisher` wrote them."""

    value: bytes
    headers: list[tuple[str, str | bytes | None]]


def template(course: Course, value_bytes: int | None = None) -> Template:
    """Publish one event and read it back.

    Args:
        course: Where; the event stays there.
        value_bytes: Size of its value; None for an ordinary event.

    Raises:
        RuntimeError: It didn't come back.
    """
    event = ordinary_event(0)
    with Tail(course.settings, [ImageRequested.__contract__.topic]) as tail, Publisher(course.settings) as publisher:
        if value_bytes is not None:
            fixed = len(ImageRequested.__contract__.type)
            event = ImageRequested(source="s3://" + "x" * max(1, value_bytes - fixed), renditions=RENDITIONS[:1])
        publisher.publish(event, key="0").result(READ_SECONDS)
        deadline = time.monotonic() + READ_SECONDS
        while time.monotonic() < deadline:
            for message in tail.read(1.0):
                return Template(message.value() or b"", list(dict(message.headers() or ()).items()))
    raise RuntimeError(f"The event didn't come back from {course.avro_topic} within {READ_SECONDS:g} s.")


def replicate(course: Course, copy: Template, count: int, *, keys: int) -> None:
    """Publish so many copies, returns when all are acknowledged.

    Args:
        course: Where.
        copy: What.
        count: How many.
        keys: How many different keys they have, in turn.

    Raises:
        RuntimeError: Some were not delivered.
    """
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({**broker.producer_config(course.settings), "linger.ms": 50, "batch.size": 1_000_000})
    topic, value, headers = course.avro_topic, copy.value, copy.headers
    for number in range(count):
        while True:
            try:
                producer.produce(topic, value, str(number % keys), headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
    left = producer.flush(FLUSH_SECONDS)
    if left or failed:
        raise RuntimeError(f"{left + len(failed)} of {count} events were not delivered: {failed[:1]}.")
