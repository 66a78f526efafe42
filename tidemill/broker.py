"""confluent-kafka's settings in one place, and what Kafka's errors mean.

Every client of this project gets its configuration here, so that TLS, SASL, partitioning and limits are the same
everywhere. This module must not create topics (`topics`) nor produce or consume.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

from tidemill.errors import (
    BrokerError,
    BrokerUnreachable,
    EventTooLarge,
    NotAuthorized,
    NotDelivered,
    TidemillError,
    UnknownTopic,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]

    from tidemill.config import Settings

PARTITIONER = "murmur2_random"
"""Java's default; librdkafka's own (CRC32) would send the same key elsewhere than every other client does."""

BATCH_OVERHEAD_BYTES = 16_384
"""What Kafka counts besides an event's own bytes: the header of its batch, and the length fields of its record."""
HEADROOM_BYTES = 32_768
"""How much larger than the largest event a dead letter may be: what its headers can add."""

COORDINATOR_MOVES = frozenset(
    {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE}
)
"""Answers of a group's coordinator that is only just being found; ask again soon."""

logger = logging.getLogger("tidemill.kafka")


def client_config(settings: Settings) -> dict[str, Any]:
    """Addresses and security, the same for every client; librdkafka's own settings win where they are given."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "tidemill",
        "security.protocol": settings.security_protocol,
        # Reconnect soon after a broker comes back; librdkafka's default backs off to 10 s.
        "reconnect.backoff.max.ms": 1000,
        "logger": logger,
    }
    if settings.sasl_mechanism:
        config["sasl.mechanism"] = settings.sasl_mechanism
    if settings.sasl_username is not None:
        config["sasl.username"] = settings.sasl_username
    if settings.sasl_password is not None:
        config["sasl.password"] = settings.sasl_password.get_secret_value()
    for name, path in (
        ("ssl.ca.location", settings.ssl_ca_location),
        ("ssl.certificate.location", settings.ssl_certificate_location),
        ("ssl.key.location", settings.ssl_key_location),
    ):
        if path is not None:
            config[name] = str(path)
    return config


def producer_config(settings: Settings) -> dict[str, Any]:
    """A producer that loses nothing: acks=all, idempotent, keys partitioned as by every other client."""
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "compression.type": settings.compression,
        "linger.ms": settings.linger_ms,
        "delivery.timeout.ms": round(settings.delivery_timeout_seconds * 1000),
        # Events are measured when they are published; librdkafka limits a whole batch with its framing.
        "message.max.bytes": settings.max_event_bytes + BATCH_OVERHEAD_BYTES,
        # An unknown topic is an answer, not something to wait 30 s for.
        "topic.metadata.propagation.max.ms": 5000,
        "queue.buffering.max.kbytes": 131_072,
        **settings.kafka,
    }


def consumer_config(settings: Settings, group: str) -> dict[str, Any]:
    """A consumer that commits nothing by itself, reads only committed events and starts at the beginning.

    Args:
        settings: Addresses, security, group protocol.
        group: Consumer group, without the namespace.
    """
    config: dict[str, Any] = {
        **client_config(settings),
        "group.id": settings.qualified(group),
        "group.protocol": settings.group_protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # A topic's new partitions are found by this with the classic protocol; KIP-848's coordinator finds them itself.
        # The default is five minutes, and a publisher that knows them sooner would wait for its readers that long.
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": 500,
        # The default of 1000 stalls a consumer that is slower than its fetcher (librdkafka 2.x, CONFIGURATION.md).
        "fetch.queue.backoff.ms": 5,
        # Per partition: with a hundred partitions the default of 64 MB would fill the machine.
        "queued.max.messages.kbytes": 2_048,
    }
    if settings.group_protocol == "classic":
        config |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
        }
    return {**config, **settings.kafka}


def admin_client(settings: Settings) -> AdminClient:
    """An admin client; the caller needs no clean-up."""
    from confluent_kafka.admin import AdminClient

    return AdminClient({**client_config(settings), **settings.kafka})


def cluster_metadata(settings: Settings, timeout_seconds: float = 5.0) -> ClusterMetadata:
    """Brokers and topics of the cluster; also the way to find out whether it answers.

    Raises:
        BrokerUnreachable: Nobody answered in time; says how to start the local stack where that is meant.
        NotAuthorized: The broker refuses the credentials.
    """
    try:
        return admin_client(settings).list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        raise from_kafka(error.args[0], settings) from error


def unreachable(settings: Settings, detail: str = "") -> BrokerUnreachable:
    """The error for "no broker answers", with the next step that fits the address."""
    message = f"No Kafka broker answers at {settings.bootstrap_servers}"
    return BrokerUnreachable(
        f"{message} ({detail})." if detail else f"{message}.", hint=start_hint(settings.bootstrap_servers)
    )


def start_hint(address: str) -> str:
    """What to do when nothing answers at an address: start the local stack, or look at the settings."""
    if "127.0.0.1" in address or "localhost" in address:
        return "Start the local stack with `tidemill up`, or set TIDEMILL_BOOTSTRAP_SERVERS to your cluster."
    return "Check TIDEMILL_BOOTSTRAP_SERVERS, the network and the security settings."


_UNREACHABLE = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
_TIMED_OUT = frozenset({KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE})
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
_REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


def from_kafka(
    error: KafkaError, settings: Settings, *, topic: str | None = None, size_bytes: int = 0
) -> TidemillError:
    """The error of our tree that a KafkaError means.

    Args:
        error: What librdkafka or the broker said.
        settings: For addresses and limits in the message.
        topic: The topic concerned, if one is.
        size_bytes: Size of the event concerned, for "too large".
    """
    code = error.code()
    if code in _UNREACHABLE:
        return unreachable(settings, error.str())
    if code in _UNKNOWN:
        return UnknownTopic(
            f"Topic {topic!r} doesn't exist at {settings.bootstrap_servers}.",
            hint="Create it from its contract with `tidemill topics apply`.",
        )
    if code in _REFUSED:
        return NotAuthorized(
            f"The broker refuses this client: {error.str()}" + (f" (topic {topic!r})." if topic else "."),
            hint="Check TIDEMILL_SECURITY_PROTOCOL, TIDEMILL_SASL_* and the ACLs.",
        )
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(
            f"An event of {size_bytes:,} bytes for topic {topic!r} is larger than is taken "
            f"(max_event_bytes = {settings.max_event_bytes:,}, and the topic's max.message.bytes).",
            hint="Put large things into the object store and publish their URI.",
        )
    if code in _TIMED_OUT:
        place = f" for topic {topic!r}" if topic else ""
        return NotDelivered(
            f"No acknowledgement{place} from {settings.bootstrap_servers} in time ({error.str()}).",
            hint="Whether it was written is unknown; publish it again with the same id.",
        )
    if code in _PURGED:
        return NotDelivered(
            f"The publisher was closed before {settings.bootstrap_servers} acknowledged this event"
            f"{f' for topic {topic!r}' if topic else ''}.",
            hint="Give close() more time, or publish the event again with the same id.",
        )
    return BrokerError(f"Kafka: {error.str()} ({error.name()}).", retriable=bool(error.retriable()))
