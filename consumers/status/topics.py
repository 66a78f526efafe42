"""Which topics tell of jobs, and what a message on each of them means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tidemill import broker, delayed
from tidemill.contracts.catalogue import installed_events
from tidemill.events import JobCancel, JobProgress
from tidemill.runtime.retry_route import retry_topic

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload

GROUP_PREFIX = "tidemill."
RETRY_SUFFIX = retry_topic("")


class Kind(Enum):
    """What a topic holds."""

    EVENTS = "events"
    LETTERS = "dead letters"
    RETRIES = "events that came back to their stream"
    DELAYED = "events that wait"
    PROGRESS = "what streams say"
    CANCEL = "what people ask"


@dataclass(frozen=True, slots=True)
class Role:
    """What a topic is for."""

    kind: Kind
    event: type[Payload] | None = None
    """Class of its events, or of those that its dead letters were."""
    stream: str | None = None
    """Whose retries."""


def roles(settings: Settings, there: Iterable[str]) -> dict[str, Role]:
    """Those of the topics that tell of jobs, by name.

    Args:
        settings: Namespace.
        there: Names of all topics of the cluster, with the namespace.
    """
    wanted: dict[str, Role] = {settings.qualified(delayed.TOPIC): Role(Kind.DELAYED)}
    for cls in installed_events():
        contract = cls.__contract__
        if cls is JobProgress or cls is JobCancel:
            kind = Kind.PROGRESS if cls is JobProgress else Kind.CANCEL
            wanted[settings.qualified(contract.topic)] = Role(kind, cls)
        else:
            wanted[settings.qualified(contract.topic)] = Role(Kind.EVENTS, cls)
            wanted[settings.qualified(contract.dead_topic)] = Role(Kind.LETTERS, cls)
    prefix = settings.qualified(GROUP_PREFIX)
    found: dict[str, Role] = {}
    for name in there:
        if name in wanted:
            found[name] = wanted[name]
        elif name.startswith(prefix) and name.endswith(RETRY_SUFFIX):
            found[name] = Role(Kind.RETRIES, stream=stream_of(settings, name))
    return found


def stream_of(settings: Settings, topic: str) -> str:
    """The stream that a retry topic belongs to."""
    return topic.removeprefix(settings.qualified(GROUP_PREFIX)).removesuffix(RETRY_SUFFIX)


def partitions_there(settings: Settings) -> dict[str, list[int]]:
    """Topics that tell of jobs and are there, with their partitions.

    Raises:
        BrokerUnreachable, NotAuthorized: The cluster can't be asked.
    """
    topics = broker.cluster_metadata(settings).topics
    return {name: sorted(topics[name].partitions) for name in roles(settings, topics)}


def by_topic(settings: Settings) -> Mapping[str, type[Payload]]:
    """Classes of events by the topic they lie in, with the namespace."""
    return {settings.qualified(cls.__contract__.topic): cls for cls in installed_events()}
