"""Reads topics from their beginnings to their present ends, all at once and without a group. Must not commit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import BrokerError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from consumers.status.facts import Place
    from tidemill.config import Settings

BATCH = 5_000
QUIET_SECONDS = 30.0
"""When nothing comes for so long, something is wrong."""
ASK_SECONDS = 10.0


class Log:
    """What topics hold at the moment.

    Args:
        settings: Addresses, security.
        partitions: Which, by the topic's name with the namespace.

    Raises:
        BrokerError: The topics can't be read.
    """

    def __init__(self, settings: Settings, partitions: Mapping[str, Sequence[int]]) -> None:
        self._settings = settings
        config = broker.consumer_config(settings, f"tidemill.log.{uuid.uuid4().hex[:12]}")
        self._consumer = Consumer({**config, "enable.partition.eof": True, "fetch.wait.max.ms": 100})
        self.ends: dict[Place, int] = {}
        """Where each partition ended when this was made: the offset after its last message."""
        self._positions: dict[Place, int] = {}
        try:
            for topic, numbers in partitions.items():
                for number in numbers:
                    place = (topic, number)
                    self._positions[place], self.ends[place] = self._consumer.get_watermark_offsets(
                        TopicPartition(*place), timeout=ASK_SECONDS
                    )
        except KafkaException as error:
            self._consumer.close()
            raise broker.from_kafka(error.args[0], settings) from error
        self.messages = sum(self.ends.values()) - sum(self._positions.values())
        """How many there are, or fewer: offsets of what was compacted, and of transactions, count."""

    def batches(self) -> Iterator[tuple[list[Message], int]]:
        """The committed messages in lists, each partition in order, and how far that is, as `messages` counts.

        Raises:
            BrokerError: They can't be read, or reading stands still.
        """
        left = {place for place, end in self.ends.items() if self._positions[place] < end}
        try:
            self._consumer.assign([TopicPartition(*place, self._positions[place]) for place in sorted(left)])
            quiet_since = time.monotonic()
            while left:
                found = self._consumer.poll(0.2)
                if found is None:
                    if time.monotonic() - quiet_since > QUIET_SECONDS:
                        raise BrokerError(
                            f"Reading {sorted(left)[0][0]!r} has stood still for {QUIET_SECONDS:g} s.",
                            hint="A transaction may be open on it (they end by themselves after a minute); try again.",
                            retriable=True,
                        )
                    continue
                quiet_since = time.monotonic()
                messages = [each for each in (found, *self._consumer.consume(BATCH - 1, 0)) if self._is_wanted(each)]
                left = {place for place in left if self._positions[place] < self.ends[place]}
                done = self.messages - sum(self.ends[place] - self._positions[place] for place in left)
                yield messages, done
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error
        finally:
            self._consumer.close()

    def _is_wanted(self, message: Message) -> bool:
        """Whether it is a message from before the end; keeps the position."""
        place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is None:
            self._positions[place] = max(self._positions[place], offset + 1)
            return offset < self.ends[place]
        if error.code() == KafkaError._PARTITION_EOF:
            self._positions[place] = max(self._positions[place], offset)
        elif error.fatal() or not error.retriable():
            raise broker.from_kafka(error, self._settings, topic=message.topic())
        return False
