"""A topic to publish into again, made like the one that is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.replay.ranges import ANSWER_SECONDS, Cluster

if TYPE_CHECKING:
    from tidemill.config import Settings


def exists(settings: Settings, topic: str) -> bool:
    """Whether there is a topic of this name.

    Args:
        settings: Addresses, security, namespace.
        topic: Without the namespace.

    Raises:
        BrokerUnreachable: Nobody answers.
    """
    return settings.qualified(topic) in broker.cluster_metadata(settings).topics


def make_target(settings: Settings, source: str, target: str) -> int:
    """Make a topic with as many partitions as another one, so that each event can keep its own; one that exists stays.

    Copies and retention are the brokers' defaults.

    Args:
        settings: Addresses, security, namespace.
        source: The topic that is read, without the namespace.
        target: The topic to make.

    Returns:
        How many partitions it has.

    Raises:
        UnknownTopic: There is no such source.
        BrokerError: The cluster refuses.
    """
    _, partitions = Cluster(settings, source).describe()
    name = settings.qualified(target)
    admin = broker.admin_client(settings)
    answers = admin.create_topics([NewTopic(name, partitions)], request_timeout=ANSWER_SECONDS)
    try:
        answers[name].result(ANSWER_SECONDS + 5)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise broker.from_kafka(error.args[0], settings, topic=name) from error
    except TimeoutError as error:
        raise broker.unreachable(settings, f"no answer within {ANSWER_SECONDS:g} s") from error
    return partitions
