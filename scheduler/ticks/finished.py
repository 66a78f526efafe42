"""Whether a stream has finished an event: its consumer group's commit tells, with the map of what lies beyond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tidemill import broker
from tidemill.runtime.finished import from_metadata

if TYPE_CHECKING:
    from scheduler.ticks.books import Emitted
    from tidemill.config import Settings

ASK_SECONDS = 5.0


class Finished:
    """Asks consumer groups; used by one thread.

    Args:
        settings: Addresses, security, namespace.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, Consumer] = {}

    def is_finished(self, stream: str, event: Emitted) -> bool:
        """Whether a stream is done with an event, be it by a dead letter.

        Args:
            stream: Its name.
            event: Where the event lies.

        Raises:
            BrokerError: The group can't be asked.
        """
        client = self._clients.get(stream)
        if client is None:
            # It never subscribes, and so is no member of the group.
            client = Consumer(broker.consumer_config(self._settings, f"tidemill.{stream}"))
            self._clients[stream] = client
        (committed,) = self._committed(client, TopicPartition(event.topic, event.partition))
        if committed.error is not None:
            raise broker.from_kafka(committed.error, self._settings, topic=event.topic)
        if committed.offset < 0:
            return False
        if committed.offset > event.offset:
            return True
        return any(event.offset in run for run in from_metadata(committed.offset, committed.metadata).finished)

    def _committed(self, client: Consumer, partition: TopicPartition) -> list[TopicPartition]:
        deadline = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return client.committed([partition], timeout=ASK_SECONDS)
            except KafkaException as error:
                # librdkafka asks no second time where the coordinator is just moving (rd_kafka_committed, 2.16.0).
                if error.args[0].code() not in broker.COORDINATOR_MOVES or time.monotonic() > deadline:
                    raise broker.from_kafka(error.args[0], self._settings, topic=partition.topic) from error
                time.sleep(0.1)

    def close(self) -> None:
        """Let go of the clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
