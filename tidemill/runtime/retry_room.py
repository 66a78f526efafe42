"""How long the events of a stream may wait for their next try, and where: looked up, and made, before a worker starts.

An event that waits where it is must not be deleted under it, so the retention of its topic is the limit. Relies on
Kafka's admin API; what can't be read there is taken from the contract.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tidemill import broker, delayed
from tidemill.errors import NotAuthorized, StreamError
from tidemill.runtime.outcomes import Waits
from tidemill.runtime.retry_route import retry_topic
from tidemill.telemetry import get_logger
from tidemill.topics import read_topics, wanted_topics
from tidemill.topics.wanted import CLEANUP, MAX_BYTES, RETENTION

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

    from tidemill.config import Settings
    from tidemill.runtime.stream import Stream

SHARE_OF_RETENTION = 0.5
"""The rest is for the time that an event waits before its first try."""
KEPT_FOR_EVER_MS = timedelta(days=30) // timedelta(milliseconds=1)
"""Retention of a retry topic whose stream's topic has none: nobody needs a retry once it is handled."""
MAKE_SECONDS = 15.0


def room_for_retries(
    streams: Sequence[Stream], settings: Settings, metadata: ClusterMetadata, kept: dict[str, float]
) -> dict[str, Waits]:
    """Where and how long the events of each stream may wait; makes the retry topics that are missing.

    Args:
        streams: Whose events.
        settings: Address and namespace.
        metadata: The cluster's; the streams' own topics are in it.
        kept: As `kept_seconds`.

    Returns:
        By the stream's name.

    Raises:
        StreamError: A policy could let events wait longer than their topic safely keeps them.
        NotAuthorized: A retry topic is missing, and this client may not make it; says how it is to be made.
        BrokerError: The cluster can't be asked, or refuses to make it.
    """
    rooms = {}
    for stream in streams:
        most_seconds = kept[stream.topic] * SHARE_OF_RETENTION
        _refuse_too_long(stream, kept[stream.topic], most_seconds, settings)
        if not stream.goes_around:
            rooms[stream.name] = Waits(most_seconds)
            continue
        name = settings.qualified(retry_topic(stream.group))
        if name not in metadata.topics:
            _make(name, stream, settings, metadata)
        rooms[stream.name] = Waits(delayed.LONGEST.total_seconds(), name)
    return rooms


def _refuse_too_long(stream: Stream, kept_seconds: float, most_seconds: float, settings: Settings) -> None:
    longest_seconds = stream.retry.longest_seconds
    if stream.goes_around:
        longest_seconds = min(longest_seconds, stream.retry.in_place * (stream.retry.attempts - 1))
    if longest_seconds >= most_seconds:
        raise StreamError(
            f"{stream.reference}: its retries can let an event wait for {_span(longest_seconds)} in all, and "
            f"{settings.qualified(stream.topic)} keeps events for {_span(kept_seconds)}: it could be deleted while it "
            f"waits. Expected less than half of that.",
            hint="Set `expires`, lower `attempts` or `most`, or give the topic a longer retention.",
        )


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds < timedelta.max.total_seconds() else f"{seconds:g} s"


def kept_seconds(streams: Sequence[Stream], settings: Settings) -> dict[str, float]:
    """How long each stream's topic keeps events, by the topic's name without its namespace.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    names = {stream.topic: settings.qualified(stream.topic) for stream in streams}
    try:
        there = read_topics(settings, names.values())
    except NotAuthorized as error:
        # It takes another right than reading does, and all that depends on it is a limit.
        get_logger("worker").warning("a topic's retention can't be read, its contract counts", error=str(error))
        there = {}
    kept = {}
    for stream in streams:
        topic, retention = there.get(names[stream.topic]), stream.payload.__contract__.retention
        if topic is not None and RETENTION in topic.config:
            milliseconds = int(topic.config[RETENTION])
            kept[stream.topic] = milliseconds / 1000 if milliseconds >= 0 else math.inf
        else:
            kept[stream.topic] = retention.total_seconds() if retention is not None else math.inf
    return kept


def _make(name: str, stream: Stream, settings: Settings, metadata: ClusterMetadata) -> None:
    partitions = metadata.topics[settings.qualified(stream.topic)].partitions
    copies = min(len(each.replicas) for each in partitions.values())
    (like, _) = sorted(
        wanted_topics(settings, [stream.payload.__contract__], brokers=copies, replication=copies),
        key=lambda topic: len(topic.name),
    )
    config = {
        **like.config,
        CLEANUP: "delete",
        # What comes back has more headers than it had.
        MAX_BYTES: str(int(like.config[MAX_BYTES]) + broker.HEADROOM_BYTES),
    }
    if config[RETENTION] == "-1":
        config[RETENTION] = str(KEPT_FOR_EVER_MS)
    new = NewTopic(name, len(partitions), copies, config=config)
    admin = broker.admin_client(settings)  # kept until the answer is there
    try:
        admin.create_topics([new], request_timeout=MAKE_SECONDS)[name].result(MAKE_SECONDS * 2)
    except KafkaException as error:
        cause = error.args[0]
        if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return  # Another worker has just made it.
        refused = broker.from_kafka(cause, settings, topic=name)
        if isinstance(refused, NotAuthorized):
            shown = ", ".join(f"{key}={value}" for key, value in sorted(config.items()))
            raise NotAuthorized(
                f"{stream.name} gets its retries back on {name}, which isn't there, and this client may not make it.",
                hint=f"Make it with {len(partitions)} partitions, {copies} copies and {shown}.",
            ) from error
        raise refused from error
    get_logger("worker").info("retry topic made", stream=stream.name, topic=name, partitions=len(partitions))
