"""Follow topics from this moment on, without a consumer group: nothing of anybody else's changes.

For whoever has published something and waits for what becomes of it. Must not commit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import UnknownTopic

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

BATCH = 500


class Tail:
    """Reads what is appended to topics after it was opened.

    Open it before publishing, and no answer can be missed:

        with Tail(settings, ["image.processed"]) as tail:
            publisher.publish(...)
            for message in tail.read(timeout_seconds=1.0): ...

    Args:
        settings: Addresses and namespace.
        topics: Topics, without the namespace.

    Raises:
        UnknownTopic: One of them doesn't exist.
        BrokerUnreachable, NotAuthorized: The cluster can't be asked.
    """

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        names = [settings.qualified(topic) for topic in topics]
        there = broker.cluster_metadata(settings).topics
        missing = [name for name in names if name not in there]
        if missing:
            raise UnknownTopic(
                f"Topics are missing at {settings.bootstrap_servers}: {', '.join(missing)}.",
                hint="Create them from the contracts with `tidemill topics apply`.",
            )
        self._settings = settings
        self._consumer = Consumer(broker.consumer_config(settings, f"tidemill.tail.{uuid.uuid4().hex[:12]}"))
        try:
            partitions = [
                TopicPartition(name, number, self._end(name, number))
                for name in names
                for number in there[name].partitions
            ]
            self._consumer.assign(partitions)
        except KafkaException as error:
            self._consumer.close()
            raise broker.from_kafka(error.args[0], settings) from error

    def _end(self, topic: str, partition: int) -> int:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        return end

    def read(self, timeout_seconds: float) -> list[Message]:
        """What has come since the last call; waits for the first message at most so long.

        Raises:
            BrokerError: The broker refuses, or reading failed for good.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            first = self._consumer.poll(max(0.0, min(0.2, deadline - time.monotonic())))
            found = [first, *self._consumer.consume(BATCH - 1, 0)] if first is not None else []
            messages = []
            for message in found:
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.fatal() or not error.retriable():
                    raise broker.from_kafka(error, self._settings, topic=message.topic())
            if messages or time.monotonic() >= deadline:
                return messages

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
