"""Reads a topic from its beginning to its present end, without a group: what is in it now. Must not commit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import BrokerError, UnknownTopic

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

BATCH = 1000
QUIET_SECONDS = 20.0
"""When nothing comes for so long, something is wrong."""
CONNECT_SECONDS = 10.0

Progress = Callable[[int, int], None]
"""Called with offsets passed and offsets in all."""


def partitions_of(settings: Settings, topic: str) -> int:
    """How many partitions a topic has.

    Args:
        settings: Addresses and namespace.
        topic: Without the namespace.

    Raises:
        UnknownTopic: It doesn't exist.
        BrokerUnreachable, NotAuthorized: The cluster can't be asked.
    """
    name = settings.qualified(topic)
    there = broker.cluster_metadata(settings, CONNECT_SECONDS).topics.get(name)
    if there is None or not there.partitions:
        raise UnknownTopic(
            f"Topic {name!r} doesn't exist at {settings.bootstrap_servers}.",
            hint="Create it with `tidemill topics apply`.",
        )
    return len(there.partitions)


def read_log(
    settings: Settings,
    topic: str,
    partitions: Sequence[int] | None = None,
    *,
    since_ms: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Message]:
    """The committed records of a topic, each partition in order.

    Args:
        settings: Addresses, security, namespace.
        topic: Without the namespace.
        partitions: Which ones; None for all.
        since_ms: Only what was written from this time on, in milliseconds since 1970; None for everything.
        progress: Told now and then how far it is.

    Raises:
        UnknownTopic: It doesn't exist.
        BrokerError: It can't be read.
    """
    name = settings.qualified(topic)
    numbers = range(partitions_of(settings, topic)) if partitions is None else partitions
    config = broker.consumer_config(settings, f"tidemill.log.{uuid.uuid4().hex[:12]}")
    consumer = Consumer({**config, "enable.partition.eof": True, "fetch.wait.max.ms": 100})
    try:
        ends = {}
        starts = []
        for number in numbers:
            partition = TopicPartition(name, number)
            low, end = consumer.get_watermark_offsets(partition, timeout=CONNECT_SECONDS)
            start = low
            if since_ms is not None:
                asked = consumer.offsets_for_times([TopicPartition(name, number, since_ms)], timeout=CONNECT_SECONDS)
                start = asked[0].offset if asked[0].offset >= 0 else end
            if start < end:
                starts.append(TopicPartition(name, number, start))
                ends[number] = (start, end)
        yield from _read(consumer, settings, starts, ends, progress)
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=name) from error
    finally:
        consumer.close()


def _read(
    consumer: Consumer,
    settings: Settings,
    starts: Sequence[TopicPartition],
    bounds: dict[int, tuple[int, int]],
    progress: Progress | None,
) -> Iterator[Message]:
    if not starts:
        return
    consumer.assign([*starts])
    total = sum(end - start for start, end in bounds.values())
    positions = {number: start for number, (start, _) in bounds.items()}
    quiet_since = time.monotonic()
    while any(positions[number] < end for number, (_, end) in bounds.items()):
        first = consumer.poll(0.2)
        if first is None:
            if time.monotonic() - quiet_since > QUIET_SECONDS:
                raise BrokerError(
                    f"Reading {starts[0].topic!r} has stood still for {QUIET_SECONDS:g} s.",
                    hint="A transaction may be open on it (they end by themselves after a minute); try again.",
                    retriable=True,
                )
            continue
        quiet_since = time.monotonic()
        for message in [first, *consumer.consume(BATCH - 1, 0)]:
            error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
            if error is None:
                positions[number] = offset + 1
                if offset < bounds[number][1]:
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                positions[number] = max(positions[number], offset)
            elif error.fatal() or not error.retriable():
                raise broker.from_kafka(error, settings, topic=message.topic())
        if progress is not None:
            done = sum(min(positions[number], end) - start for number, (start, end) in bounds.items())
            progress(done, total)
