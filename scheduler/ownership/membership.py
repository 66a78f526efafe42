"""The scheduler's consumer group: it only decides which instance owns which partitions; nothing is consumed by it.

A lost instance's partitions move when its session ends. Should it come back, transactions see to it that it emits
nothing any more (`transactions`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from scheduler.ownership.keeper import Keeper
    from tidemill.config import Settings

POLL_SECONDS = 0.2
GIVE_UP_SECONDS = 3.0
"""How long a rebalance waits for transactions under way; past that they are fenced by the next owner."""

Partition = tuple[str, int]
"""Topic, without the namespace, and number."""


class Membership:
    """A member of the group, with a keeper for each partition that it is given.

    Args:
        settings: Addresses, group protocol, namespace.
        group: Without the namespace.
        topics: Whose partitions are shared, without the namespace.
        make_keeper: Makes the keeper of a partition.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        make_keeper: Callable[[str, int], Keeper],
    ) -> None:
        self._settings = settings
        self._names = {settings.qualified(topic): topic for topic in topics}
        self._make_keeper = make_keeper
        self._log = get_logger("scheduler")
        self.keepers: dict[Partition, Keeper] = {}
        self.assigned = threading.Event()
        """Set once the group has answered, be it with no partitions."""
        try:
            self._consumer = Consumer(
                {
                    **broker.consumer_config(settings, group),
                    "auto.offset.reset": "latest",
                    **_assignor(settings),
                    "error_cb": self._on_error,
                }
            )
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], settings) from error

    def run(self, until: Callable[[], bool]) -> None:
        """Be a member until something is so.

        Args:
            until: Asked several times a second.

        Raises:
            BrokerError: The group refuses this member for good.
        """
        try:
            self._consumer.subscribe(
                [*self._names], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not until():
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None and (error := message.error()) is not None:
                    self._complain(error)
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error
        finally:
            self._give_up([*self.keepers], GIVE_UP_SECONDS)
            self._consumer.close()

    def _complain(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in _HOPELESS:
            raise broker.from_kafka(error, self._settings)
        self._log.warning("group", error=error.str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Nothing is read here: keepers read for themselves, from the beginning and not only once.
        consumer.incremental_assign([TopicPartition(part.topic, part.partition, OFFSET_END) for part in partitions])
        consumer.pause(partitions)
        for part in partitions:
            where = (self._names[part.topic], part.partition)
            keeper = self.keepers[where] = self._make_keeper(*where)
            keeper.start()
        self.assigned.set()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up([(self._names[part.topic], part.partition) for part in partitions], GIVE_UP_SECONDS)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        where = [(self._names[part.topic], part.partition) for part in partitions]
        self._log.warning("lost: the group has given these partitions to others", partitions=where)
        self._give_up(where, 0.0)
        consumer.incremental_unassign(partitions)

    def _give_up(self, where: Sequence[Partition], wait_seconds: float) -> None:
        keepers = [self.keepers.pop(partition) for partition in where if partition in self.keepers]
        for keeper in keepers:
            keeper.halt()
        deadline = time.monotonic() + wait_seconds
        late = [keeper for keeper in keepers if not keeper.join(max(0.0, deadline - time.monotonic()))]
        if late and wait_seconds:
            self._log.warning("transactions under way are left to the next owner", seconds=wait_seconds)

    def _on_error(self, error: KafkaError) -> None:
        self._log.warning("kafka", error=error.str())


def _assignor(settings: Settings) -> dict[str, str]:
    """Kafka's own default may give one instance all partitions of one topic, and another one those of the other."""
    return {"group.remote.assignor": "range"} if settings.group_protocol == "consumer" else {}


_HOPELESS = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_ASSIGNOR,
        KafkaError.INVALID_GROUP_ID,
    }
)
