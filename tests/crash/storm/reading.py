"""Reading what a storm has left in Kafka: whole topics, as a reader of committed events."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from tests.crash.storm.events import ErrandAsked, ParcelSent, ReceiptGiven
from tests.crash.storm.evidence import Evidence, Output
from tests.crash.storm.ledgers import Handled, Published
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event

WAIT_SECONDS = 60.0


def gather(settings: Settings, published: Iterable[Published], handled: Iterable[Handled]) -> Evidence:
    """The evidence of a storm that is over.

    Raises:
        TimeoutError: A topic could not be read to its end.
    """
    contracts = (ParcelSent.__contract__, ErrandAsked.__contract__)
    with Registry(settings) as registry:
        codec = Codec(registry)
        outputs = []
        for message in read(settings, ReceiptGiven.__contract__.topic):
            value: ReceiptGiven = codec.decode(message.value(), ReceiptGiven)
            outputs.append(Output(_id(message), value.lane, value.number, value.note))
    return Evidence(
        published=list(published),
        handled=list(handled),
        inputs=[_id(message) for contract in contracts for message in read(settings, contract.topic)],
        outputs=outputs,
        dead=[_id(message) for contract in contracts for message in read(settings, contract.dead_topic)],
    )


def _id(message: Message) -> str:
    return Event.received(None, message).id


def read(settings: Settings, topic: str) -> list[Message]:
    """All messages of a topic, ordered by partition and offset.

    Args:
        settings: Where it is.
        topic: Without its namespace.

    Raises:
        TimeoutError: Its end wasn't reached in time.
    """
    name = settings.qualified(topic)
    config = broker.consumer_config(settings, "storm-reader")
    consumer = Consumer({**config, "isolation.level": "read_committed", "enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(name, WAIT_SECONDS).topics[name].partitions
        consumer.assign([TopicPartition(name, number, 0) for number in partitions])
        return _to_the_end(consumer, name, len(partitions))
    finally:
        consumer.close()


def _to_the_end(consumer: Consumer, name: str, partitions: int) -> list[Message]:
    found: list[Message] = []
    ended: set[int] = set()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(ended) < partitions:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(ended)} of {partitions} partitions of {name} were read in {WAIT_SECONDS:g} s")
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition() or 0)
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
