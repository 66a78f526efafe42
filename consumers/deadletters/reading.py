"""Reads partitions from where somebody wants to go on to where they ended when it began. Commits nothing.

Knows no index. An end is the log's own, not the last stable offset: what an open transaction hides may be a letter, and
whoever must have read all has to know that it hasn't.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

Part = tuple[str, int]
"""Topic with the namespace, and partition."""
MOST_MESSAGES = 2_000
MOST_BYTES = 8_000_000
QUIET_SECONDS = 10.0
"""When nothing comes for so long, the rest is taken to be hidden by an open transaction."""
POLL_SECONDS = 0.1


class Reading:
    """One reading.

    Args:
        settings: Addresses, security.
        starts: Where to begin.
        ends: Where to stop; partitions with nothing to read are left out by itself.
    """

    def __init__(self, settings: Settings, starts: Mapping[Part, int], ends: Mapping[Part, int]) -> None:
        self._settings = settings
        self._ends = ends
        self.positions = {part: start for part, start in starts.items() if start < ends[part]}
        """Where each partition is that had something to read."""
        self.offsets = sum(ends[part] - start for part, start in self.positions.items())
        """How many there are to read; transactions' own and compacted ones among them."""
        self._left = set(self.positions)

    @property
    def is_complete(self) -> bool:
        """Whether all was read."""
        return not self._left

    @property
    def done(self) -> int:
        """How many offsets were read."""
        return self.offsets - sum(max(0, self._ends[part] - at) for part, at in self.positions.items())

    def batches(self) -> Iterator[list[Message]]:
        """The committed messages in lists, each partition in order; an empty one now and then. Ends by itself.

        Raises:
            BrokerError: They can't be read.
        """
        if not self._left:
            return
        config = broker.consumer_config(self._settings, f"tidemill.dead.{uuid.uuid4().hex[:12]}")
        consumer = Consumer(
            {
                **config,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                # Per partition, and there are many; a letter may have a megabyte.
                "queued.max.messages.kbytes": 1024,
                "fetch.message.max.bytes": 1_000_000,
                # No group is joined; KIP-848's consumer would look for a coordinator all the same.
                "group.protocol": "classic",
            }
        )
        try:
            consumer.assign([TopicPartition(*part, self.positions[part]) for part in sorted(self._left)])
            quiet_since = time.monotonic()
            while self._left:
                messages = self._take(consumer)
                if messages:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_SECONDS:
                    return
                yield messages
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error
        finally:
            consumer.close()

    def _take(self, consumer: Consumer) -> list[Message]:
        taken: list[Message] = []
        size_bytes = 0
        while self._left and len(taken) < MOST_MESSAGES and size_bytes < MOST_BYTES:
            # Also where some have come: each batch is a transaction, and at the end nothing is waited for.
            first = consumer.poll(POLL_SECONDS)
            if first is None:
                break
            for message in (first, *consumer.consume(100, 0)):
                if self._is_wanted(message):
                    taken.append(message)
                    size_bytes += len(message)
        return taken

    def _is_wanted(self, message: Message) -> bool:
        part, offset, error = (message.topic() or "", message.partition() or 0), message.offset() or 0, message.error()
        if part not in self.positions:
            return False
        if error is None:
            self.positions[part] = max(self.positions[part], offset + 1)
        elif error.code() == KafkaError._PARTITION_EOF:
            self.positions[part] = max(self.positions[part], offset)
        elif error.fatal() or not error.retriable():
            raise broker.from_kafka(error, self._settings, topic=message.topic())
        if self.positions[part] >= self._ends[part]:
            self._left.discard(part)
        return error is None and offset < self._ends[part]
