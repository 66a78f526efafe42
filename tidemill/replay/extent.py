"""Where the events of a topic lie, in offsets and in time. Asks the cluster and reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill.replay.ranges import Cluster

if TYPE_CHECKING:
    from tidemill.config import Settings


@dataclass(frozen=True)
class Extent:
    """What a topic has."""

    offsets: dict[int, tuple[int, int]]
    """By partition: the first offset, and the one that its next event will have."""
    first_ms: int | None
    """The timestamp at which the oldest of the partitions begins; None where there are no events."""
    last_ms: int | None
    """The latest timestamp of all."""


def extent(settings: Settings, topic: str) -> Extent:
    """Where a topic's events lie.

    Args:
        settings: Addresses, security, namespace.
        topic: Without the namespace.

    Raises:
        UnknownTopic: It doesn't exist.
        BrokerError: The cluster can't be asked.
    """
    cluster = Cluster(settings, topic)
    _, count = cluster.describe()
    low = cluster.offsets(range(count), OffsetSpec.earliest)
    high = cluster.offsets(range(count), OffsetSpec.latest)
    filled = [each for each in low if low[each] < high[each]]
    first = [each.timestamp for each in cluster.places(filled, lambda: OffsetSpec.for_timestamp(0)).values()]
    last = [each.timestamp for each in cluster.places(filled, OffsetSpec.max_timestamp).values()]
    return Extent(
        {each: (low[each], high[each]) for each in sorted(low)},
        min((each for each in first if each >= 0), default=None),
        max((each for each in last if each >= 0), default=None),
    )
