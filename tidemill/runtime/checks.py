"""What is looked at before a worker starts, so that a mistake is an answer at once and not a log line at night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill import broker, delayed
from tidemill.errors import UnknownTopic
from tidemill.events import JobCancel, JobProgress
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

    from tidemill.config import Settings
    from tidemill.runtime.stream import Stream


def needed_topics(stream: Stream) -> dict[str, str]:
    """Topics that a stream needs, without the namespace -> what for."""
    contract = stream.payload.__contract__
    needed = {
        contract.topic: f"{stream.name} reads it",
        contract.dead_topic: f"{stream.name} writes dead letters to it",
    }
    if stream.goes_around:
        needed[delayed.TOPIC] = f"events that {stream.name} tries again later wait on it"
    if stream.cancellable:
        needed[JobCancel.__contract__.topic] = f"{stream.name} learns from it which jobs are cancelled"
    if stream.cancellable or stream.tracked:
        needed[JobProgress.__contract__.topic] = f"{stream.name} tells on it what became of its events"
    for cls in stream.outputs:
        needed.setdefault(cls.__contract__.topic, f"{stream.name} publishes {cls.__contract__.type} to it")
    return needed


def check_topics(streams: Sequence[Stream], settings: Settings) -> ClusterMetadata:
    """Refuse to start where a topic is missing.

    Returns:
        What the cluster says of itself, which took a connection to learn.

    Raises:
        UnknownTopic: Names every missing topic and what it is for.
        BrokerUnreachable, NotAuthorized: The cluster can't be asked.
    """
    metadata = broker.cluster_metadata(settings)
    there = metadata.topics
    missing = {
        settings.qualified(topic): why
        for stream in streams
        for topic, why in needed_topics(stream).items()
        if settings.qualified(topic) not in there
    }
    if missing:
        listed = "; ".join(f"{topic} ({why})" for topic, why in missing.items())
        raise UnknownTopic(
            f"Topics are missing at {settings.bootstrap_servers}: {listed}.",
            hint="Create them from the contracts with `tidemill topics apply`.",
        )
    return metadata


def is_heard(metadata: ClusterMetadata, settings: Settings) -> bool:
    """Whether there is a topic to tell on how events get on; most streams do without. Logged where there is none."""
    topic = settings.qualified(JobProgress.__contract__.topic)
    if topic in metadata.topics:
        return True
    get_logger("worker").warning(
        "nobody is told how events get on: there is no topic for it",
        topic=topic,
        hint="Make it with `tidemill topics apply`, and start this worker again.",
    )
    return False
