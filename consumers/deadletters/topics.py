"""The topics of the desk: those that dead letters lie in, and the one that says what was done about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.contracts.policies import DEAD_SUFFIX
from tidemill.partitioning import partition_of
from tidemill.topics.house import HouseTopic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.config import Settings

ACTIONS = HouseTopic(
    "dead.actions",
    8,
    "what was done about dead letters",
    # Kept for ever and never compacted: it is the record of who did what, and the index is made from it.
    {"cleanup.policy": "delete", "retention.ms": "-1"},
)
TOPICS = [ACTIONS]
"""For the entry point `tidemill.topics`."""


def action_partition(dead_topic: str) -> int:
    """The partition of the actions on letters of a topic: one for each, so that they have an order.

    Args:
        dead_topic: Without the namespace.
    """
    return partition_of(dead_topic.encode(), ACTIONS.partitions)


def dead_topics(settings: Settings, there: Iterable[str]) -> list[str]:
    """Those of the topics that hold dead letters, sorted; also ones that no contract knows.

    Args:
        settings: Namespace.
        there: Names of all topics of the cluster, with the namespace.
    """
    return sorted(name for name in there if name.startswith(settings.namespace) and name.endswith(DEAD_SUFFIX))


def bare(settings: Settings, topic: str) -> str:
    """A topic's name without the namespace."""
    return topic.removeprefix(settings.namespace)


def source_of(dead_topic: str) -> str:
    """The topic whose dead letters lie in another, where they don't say so themselves."""
    return dead_topic.removesuffix(DEAD_SUFFIX)
