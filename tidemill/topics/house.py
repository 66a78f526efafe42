"""The topics that belong to no contract: those the house itself keeps its books in.

Other packages add theirs by the entry point group `tidemill.topics`: each names a list of `HouseTopic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from tidemill import delayed

GROUP = "tidemill.topics"

COMPACTED: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "retention.ms": "-1",
    # Only closed segments are compacted: small ones, closed soon, keep short what a new instance has to read.
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    # A reader that was away for a day still sees what was removed.
    "delete.retention.ms": str(24 * 60 * 60 * 1000),
}
"""Settings of a topic that is the state itself: the last record of a key stays for ever."""


@dataclass(frozen=True)
class HouseTopic:
    """A topic without a contract."""

    name: str
    """Without the namespace."""
    partitions: int
    purpose: str
    config: Mapping[str, str] = field(default_factory=lambda: COMPACTED)
    """Kafka's topic settings, by their own names."""


DELAYED = HouseTopic(delayed.TOPIC, delayed.PARTITIONS, "events that wait until they are due")


def house_topics() -> list[HouseTopic]:
    """The house's topics, and those of installed packages."""
    topics = [DELAYED]
    for point in entry_points(group=GROUP):
        topics += point.load()
    return topics
