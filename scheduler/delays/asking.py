"""Asks the owner of a partition to cancel an event or to send it off now, and waits for what it did.

The request is a record on `schedule.delayed`. It stays there until somebody answers it, whoever crashes meanwhile.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from scheduler.delays.record import partition_for
from scheduler.delays.requests import Answer, Wish, read_answer, request_record
from tidemill import broker, delayed
from tidemill.errors import BrokerError, NotDelivered
from tidemill.event import headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a request."""

    answer: Answer | None
    """None where nobody has answered in time; the request is there all the same."""
    reason: str
    """With `Answer.REFUSED`: what the brokers have against the event."""


def ask(settings: Settings, wish: Wish, event_id: str, *, by: str, timeout_seconds: float) -> Asked:
    """Write a request and wait for its answer.

    Args:
        settings: Addresses, namespace.
        wish: What is to become of the event.
        event_id: Its id.
        by: Who asks.
        timeout_seconds: Longest wait for the answer, from when the request is written.

    Raises:
        UnknownTopic: `schedule.delayed` doesn't exist.
        BrokerUnreachable, NotAuthorized, NotDelivered, BrokerError: The request may not have been written.
    """
    topic = settings.qualified(delayed.TOPIC)
    partition = partition_for(settings, event_id)
    key, value, headers = request_record(wish, event_id, by, datetime.now(UTC))
    config = broker.consumer_config(settings, f"tidemill.asking.{uuid.uuid4().hex[:12]}")
    consumer = Consumer({**config, "fetch.wait.max.ms": 50})
    try:
        # From before the request is there, so that its answer can't be missed.
        place = TopicPartition(topic, partition)
        _, place.offset = consumer.get_watermark_offsets(place, timeout=CONNECT_SECONDS)
        consumer.assign([place])
        _write(settings, topic, partition, key, value, headers)
        deadline = time.monotonic() + timeout_seconds
        while (left_seconds := deadline - time.monotonic()) > 0:
            message = consumer.poll(min(0.2, left_seconds))
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.fatal() or not error.retriable():
                    raise broker.from_kafka(error, settings, topic=topic)
            elif message.key() == key and message.value() is None:
                found = read_answer(dict(headers_of(message)))
                if found is None:
                    raise BrokerError(f"The request to {wish} {event_id!r} was removed by another program, unanswered.")
                return Asked(*found)
        return Asked(None, "")
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=topic) from error
    finally:
        consumer.close()


def _write(
    settings: Settings, topic: str, partition: int, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    config = broker.producer_config(settings) | {"linger.ms": 0, "delivery.timeout.ms": round(CONNECT_SECONDS * 1000)}
    producer = Producer(config)
    producer.produce(topic, value, key, partition, headers=[*headers], on_delivery=delivered)
    left = producer.flush(CONNECT_SECONDS + 5)
    if failures:
        raise broker.from_kafka(failures[0], settings, topic=topic)
    if left:
        raise NotDelivered(
            f"Kafka at {settings.bootstrap_servers} didn't acknowledge the request in time.",
            hint="Whether it was written is unknown; ask again, that does no harm.",
        )
