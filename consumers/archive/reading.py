"""What of a topic waits to be archived: the offsets to read, and those that retention has taken before. Reads only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill.errors import DecodeError, SchemaNotRegistered
from tidemill.replay.fetching import Fetcher
from tidemill.replay.query import make_query
from tidemill.replay.ranges import Cluster, Gap, Plan, Range
from tidemill.replay.schemas import Schemas, reader_schema
from tidemill.topics import read_topics
from tidemill.topics.wanted import RETENTION

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.decoder import WriterSchema
    from tidemill.replay.lake import State

NEAR_SHARE = 0.1
"""With retention by size: an unread event is near the end when so little of the topic lies before it."""


@dataclass(frozen=True)
class Waiting:
    """What waits to be archived of a topic."""

    topic: str
    """Without the namespace."""
    plan: Plan
    """What is to be read."""
    begins: Mapping[int, int]
    """By partition, where the archive goes on: before `plan`'s start where there is a gap."""
    unknown: frozenset[int]
    """Partitions that the archive knows nothing of yet."""
    gaps: tuple[Gap, ...]
    """What retention has taken."""
    low: Mapping[int, int]
    """By partition, the topic's first offset."""
    is_new: bool
    """Whether the topic was deleted and made anew since it was archived last."""
    shrunk: Mapping[int, tuple[int, int]]
    """Partitions that end before what is archived of them: their end, and what is archived."""

    @property
    def offsets(self) -> int:
        """How many offsets are to be read."""
        return self.plan.offsets

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.plan.ranges and not self.gaps

    @property
    def lost(self) -> int:
        """How many offsets retention has taken."""
        return sum(gap.end - gap.start for gap in self.gaps)


def waiting(settings: Settings, topic: str, state: State) -> Waiting:
    """What waits of a topic, as it stands now.

    Args:
        settings: Addresses and namespace.
        topic: Without the namespace.
        state: What is archived of it.

    Raises:
        UnknownTopic: It doesn't exist.
        BrokerError: It can't be asked.
    """
    cluster = Cluster(settings, topic)
    topic_id, count = cluster.describe()
    low = cluster.offsets(range(count), OffsetSpec.earliest)
    high = cluster.offsets(range(count), OffsetSpec.latest)
    is_new = bool(state.topic_id) and state.topic_id != topic_id
    done = {} if is_new else state.next_offsets
    # A partition that was added later is archived from its beginning; a topic from where it is first met.
    begins = {each: done.get(each, 0 if done else low[each]) for each in range(count)}
    shrunk = {each: (high[each], begins[each]) for each in begins if high[each] < begins[each]}
    ranges = [Range(each, max(begins[each], low[each]), high[each]) for each in begins]
    gaps = [Gap(each, begins[each], low[each]) for each in begins if begins[each] < low[each]]
    plan = Plan(
        cluster.topic,
        topic_id,
        count,
        tuple(each for each in ranges if each.start < each.end),
        (),
        {each.partition: each.start for each in ranges},
    )
    return Waiting(topic, plan, begins, frozenset(begins.keys() - done.keys()), tuple(gaps), low, is_new, shrunk)


def schema_of(registry: Schemas, topic: str) -> WriterSchema | None:
    """The schema that a topic's events are read as; None where it has none, and only bytes are kept.

    Raises:
        RegistryError: The registry doesn't answer.
    """
    try:
        return reader_schema(registry, topic)
    except (SchemaNotRegistered, DecodeError):
        return None


def retention_of(settings: Settings, full_name: str) -> timedelta | None:
    """How long a topic keeps events; None for ever, or where it doesn't say.

    Raises:
        BrokerError: It can't be asked.
    """
    found = read_topics(settings, [full_name]).get(full_name)
    kept_ms = int(found.config.get(RETENTION, "-1")) if found else -1
    return None if kept_ms < 0 else timedelta(milliseconds=kept_ms)


def oldest_waiting(settings: Settings, found: Waiting) -> dict[int, int]:
    """By partition, the timestamp of its first event that waits, in milliseconds since 1970.

    Raises:
        BrokerError: It can't be read.
    """
    few = tuple(replace(each, end=min(each.end, each.start + 100)) for each in found.plan.ranges)
    first: dict[int, int] = {}
    fetcher = Fetcher(settings, make_query(found.topic), replace(found.plan, ranges=few), keep_messages=False)
    for taken in fetcher.slices():
        for partition, timestamp in zip(taken.partitions, taken.timestamps, strict=True):
            first.setdefault(partition, timestamp)
    return first


def endangered(
    found: Waiting, first_ms: Mapping[int, int], retention: timedelta | None, share: float
) -> dict[int, str]:
    """By partition, why its unread events are about to be deleted.

    Args:
        found: What waits.
        first_ms: By partition, the timestamp of its first unread event.
        retention: Of the topic.
        share: From which share of the retention on an event is too old.
    """
    reasons = {}
    for each in found.plan.ranges:
        low, stamp_ms = found.low[each.partition], first_ms.get(each.partition)
        if retention is not None and stamp_ms is not None:
            kept_seconds, age_seconds = retention.total_seconds(), time.time() - stamp_ms / 1000
            if age_seconds > kept_seconds * share:
                left = _span(max(0.0, kept_seconds - age_seconds))
                reasons[each.partition] = f"unread since {_span(age_seconds)}, deleted in {left} or sooner"
        elif retention is None and low and each.start < low + (each.end - low) * NEAR_SHARE:
            reasons[each.partition] = "unread at the beginning of a topic that is cut by its size"
    return reasons


def _span(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min"
