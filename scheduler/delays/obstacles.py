"""Why an event that is overdue was not sent off, as far as anybody can see who asks the cluster. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill import topics
from tidemill.topics.wanted import MAX_BYTES

if TYPE_CHECKING:
    from scheduler.delays.waiting import Waiting
    from tidemill.config import Settings

RECORD_OVERHEAD_BYTES = 100
"""About what Kafka adds to a record that is alone in its batch: 61 bytes of the batch's header, and lengths."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What topics there are, and how large a record each takes."""

    most_bytes: Mapping[str, int | None]
    """By name, with the namespace; None where the cluster doesn't tell."""

    @classmethod
    def at(cls, settings: Settings, names: Collection[str]) -> Obstacles:
        """Those of the cluster at present.

        Raises:
            BrokerUnreachable, NotAuthorized, BrokerError: The cluster can't be asked.
        """
        found = topics.read_topics(settings, names) if names else {}
        limits = {name: topic.config.get(MAX_BYTES) for name, topic in found.items()}
        return cls({name: int(limit) if limit else None for name, limit in limits.items()})

    def before(self, event: Waiting) -> str | None:
        """What hinders an event; None where nothing is seen that would."""
        if event.topic not in self.most_bytes:
            return f"topic {event.topic} doesn't exist"
        limit = self.most_bytes[event.topic]
        if limit is not None and event.size_bytes + RECORD_OVERHEAD_BYTES > limit:
            return f"larger than topic {event.topic} takes ({MAX_BYTES} = {limit:,})"
        return None
