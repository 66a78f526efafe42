"""Reads chosen letters of one partition from Kafka, in order: all of a letter, as it lies there. Joins no group."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import BrokerError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

LEAP = 2_000
"""Further ahead than this, the next letter is sought rather than read up to."""
QUIET_SECONDS = 30.0
"""When nothing comes for so long, something is wrong."""


class Fetching:
    """Letters of partitions.

    Args:
        settings: Addresses, namespace.
    """

    def __init__(self, settings: Settings) -> None:
        self.missing = 0
        """Letters that the topic didn't hold any more."""
        self._settings = settings
        self._consumer = Consumer(
            {
                **broker.consumer_config(settings, f"tidemill.dead.{uuid.uuid4().hex[:12]}"),
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 8_192,
                "group.protocol": "classic",
            }
        )

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def letters(self, topic: str, partition: int, offsets: Sequence[int]) -> Iterator[Message]:
        """The letters at these offsets.

        Args:
            topic: Without the namespace.
            partition: Of it.
            offsets: Ascending; those that aren't there any more are counted and left out.

        Raises:
            BrokerError: They can't be read.
        """
        name = self._settings.qualified(topic)
        wanted = iter(offsets)
        current = next(wanted, None)
        if current is None:
            return
        try:
            self._consumer.assign([TopicPartition(name, partition, current)])
            position = current
            quiet_since = time.monotonic()
            while current is not None:
                if current - position > LEAP:
                    self._consumer.assign([TopicPartition(name, partition, current)])
                    position = current
                first = self._consumer.poll(0.2)
                found = [] if first is None else [first, *self._consumer.consume(500, 0)]
                if found:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_SECONDS:
                    raise BrokerError(
                        f"Reading {name!r} has stood still for {QUIET_SECONDS:g} s.",
                        hint="Look whether all brokers are up, and try again.",
                        retriable=True,
                    )
                for message in found:
                    offset = self._offset_of(message)
                    if offset is None:
                        continue
                    is_there = message.error() is None
                    position = offset + is_there
                    while current is not None and (current < offset or (current == offset and not is_there)):
                        self.missing += 1
                        current = next(wanted, None)
                    if is_there and current == offset:
                        yield message
                        current = next(wanted, None)
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings, topic=name) from error

    def _offset_of(self, message: Message) -> int | None:
        """Where a message lies, or, at the end of the log, where the next one will; None for what tells nothing."""
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return message.offset() or 0
        if error.fatal() or not error.retriable():
            raise broker.from_kafka(error, self._settings, topic=message.topic())
        return None
