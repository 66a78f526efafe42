"""Which topics can be sent to: asked of the brokers beforehand.

A producer would wait seconds for a topic that isn't there. A transaction that touches one that may not be written to is
lost with all else that is in it, and so is its producer (librdkafka 2.16: INVALID_TXN_STATE when it aborts).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.config import Settings
from tidemill.errors import BrokerError, NotAuthorized, TidemillError, UnknownTopic
from tidemill.telemetry import get_logger

ASK_SECONDS = 5.0
_NOT_THERE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION})


class Destinations:
    """Topics that are known to take what is sent to them.

    Args:
        look: Says of topics, with the namespace, what is against sending to them; leaves out those that nothing is
            against. Raises BrokerError where the cluster can't be asked.
    """

    def __init__(self, look: Callable[[Collection[str]], Mapping[str, TidemillError]]) -> None:
        self._look = look
        self._fine: set[str] = set()

    @classmethod
    def of(cls, settings: Settings) -> Destinations:
        """Those of the cluster."""
        return cls(lambda topics: look_at(settings, topics))

    def against(self, topics: Collection[str]) -> Mapping[str, TidemillError]:
        """What is against sending to these topics; asks the cluster only about those that aren't known to be fine."""
        unknown = {*topics} - self._fine
        if not unknown:
            return {}
        try:
            found = self._look(unknown)
        except BrokerError as error:
            # Then the transaction will tell.
            get_logger("destinations").warning("can't ask which topics can be sent to", error=str(error))
            return {}
        self._fine |= unknown - found.keys()
        return found

    def forget(self, topic: str) -> None:
        """It was refused after all: ask anew next time."""
        self._fine.discard(topic)


def look_at(settings: Settings, topics: Collection[str]) -> dict[str, TidemillError]:
    """What is against writing to topics, by name.

    Args:
        settings: The cluster's address, and who we are.
        topics: With the namespace.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    admin = broker.admin_client(settings)
    found: dict[str, TidemillError] = {}
    asked = admin.describe_topics(
        TopicCollection([*topics]), include_authorized_operations=True, request_timeout=ASK_SECONDS
    )
    for name, future in asked.items():
        try:
            operations = future.result(2 * ASK_SECONDS).authorized_operations
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() in _NOT_THERE:
                hint = "Create it from its contract with `tidemill topics apply`."
                found[name] = UnknownTopic(f"Topic {name!r} doesn't exist.", hint=hint)
                continue
            reason = broker.from_kafka(cause, settings, topic=name)
            if not isinstance(reason, NotAuthorized):
                raise reason from error
            found[name] = reason
        else:
            if operations and AclOperation.WRITE not in operations:
                found[name] = NotAuthorized(
                    f"This program may not write to topic {name!r}.", hint="Grant it WRITE and DESCRIBE there."
                )
    return found
