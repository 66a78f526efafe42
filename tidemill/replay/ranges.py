"""What a replay reads of each partition, fixed when it starts: from which offset, and to which end.

Asks the cluster and reads nothing. The end is the last stable offset, so that a transaction which is still open is
never waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ConfigError, UnknownTopic
from tidemill.partitioning import partition_of

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.replay.query import Query

ANSWER_SECONDS = 10.0
_LEADERLESS = frozenset({KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})


@dataclass(frozen=True)
class Gap:
    """Offsets that were asked for and that the topic doesn't have any more."""

    partition: int
    start: int
    """The first offset that is missing."""
    end: int
    """The first one after them that was there."""

    def __str__(self) -> str:
        return f"partition {self.partition}: offsets {self.start} to {self.end - 1}"


@dataclass(frozen=True)
class Range:
    """The offsets to read of one partition."""

    partition: int
    start: int
    end: int
    """The first offset that isn't read."""


@dataclass(frozen=True)
class Plan:
    """What is read of a topic."""

    topic: str
    """Its full name."""
    topic_id: str
    """Another one after it was deleted and made again (KIP-516)."""
    partitions: int
    """How many it has."""
    ranges: tuple[Range, ...]
    """Those with something to read."""
    gaps: tuple[Gap, ...]
    """What an explicit start asked for and retention has taken."""
    next_offsets: dict[int, int]
    """Where each partition that was asked for starts, those with nothing to read among them."""
    archived: tuple[Range, ...] = ()
    """What is read from the archive, before the ranges."""

    @property
    def offsets(self) -> int:
        """How many offsets are read: the events, and what transactions and compaction left of others."""
        return sum(each.end - each.start for each in (*self.archived, *self.ranges))

    @property
    def topic_starts(self) -> dict[int, int]:
        """Where each partition starts in the topic, behind what is read from the archive."""
        ends = {each.partition: each.end for each in self.archived}
        return {**self.next_offsets, **ends, **{each.partition: each.start for each in self.ranges}}


class Cluster:
    """Questions about one topic.

    Args:
        settings: Addresses, security, namespace.
        topic: Without the namespace.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._admin = broker.admin_client(settings)
        self.topic = settings.qualified(topic)

    def describe(self) -> tuple[str, int]:
        """The topic's id and how many partitions it has.

        Raises:
            UnknownTopic: It doesn't exist.
            BrokerUnreachable, NotAuthorized: The cluster can't be asked.
        """
        asked = TopicCollection([self.topic])
        found = self._ask(lambda: self._admin.describe_topics(asked, request_timeout=ANSWER_SECONDS))[self.topic]
        return str(found.topic_id), len(found.partitions)

    def offsets(self, partitions: Iterable[int], spec: Callable[[], OffsetSpec]) -> dict[int, int]:
        """The offset by partition that a specification means; -1 where there is none.

        Raises:
            BrokerError: A partition doesn't exist or can't be asked.
        """
        return {partition: found.offset for partition, found in self.places(partitions, spec).items()}

    def places(self, partitions: Iterable[int], spec: Callable[[], OffsetSpec]) -> dict[int, Any]:
        """As `offsets`, with the timestamps: an object with `offset` and `timestamp` (ms, -1 for none) by partition."""
        asked = {TopicPartition(self.topic, number): spec() for number in partitions}
        if not asked:
            return {}
        answers = self._ask(
            lambda: self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_SECONDS
            )
        )
        return {partition.partition: answer for partition, answer in answers.items()}

    def config(self) -> dict[str, str | None]:
        """The topic's settings by name.

        Raises:
            UnknownTopic: It doesn't exist.
            BrokerError: The cluster doesn't tell.
        """
        asked = ConfigResource(ResourceType.TOPIC, self.topic)
        found = self._ask(lambda: self._admin.describe_configs([asked], request_timeout=ANSWER_SECONDS))[asked]
        return {name: entry.value for name, entry in found.items()}

    def _ask(self, question: Callable[[], dict[Any, Future[Any]]]) -> dict[Any, Any]:
        """The answers to a question; asked again while a partition is only just being given a leader."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return {what: answer.result(ANSWER_SECONDS + 5) for what, answer in question().items()}
            except KafkaException as error:
                if error.args[0].code() in _LEADERLESS and time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                translated = broker.from_kafka(error.args[0], self._settings, topic=self.topic)
                if isinstance(translated, UnknownTopic):
                    translated.hint = self._meant() or (
                        "`tidemill topics list --all` shows those that exist; names are without the namespace."
                    )
                raise translated from error
            except TimeoutError as error:
                raise broker.unreachable(self._settings, f"no answer within {ANSWER_SECONDS:g} s") from error

    def _meant(self) -> str | None:
        """The topic that was probably meant, as a question."""
        namespace = self._settings.namespace
        names = [each for each in broker.cluster_metadata(self._settings).topics if each.startswith(namespace)]
        return did_you_mean(
            self.topic.removeprefix(namespace), [each.removeprefix(namespace) for each in names if each[0] != "_"]
        )


def make_plan(settings: Settings, query: Query) -> Plan:
    """What a query reads, as the topic stands now.

    Raises:
        UnknownTopic: The topic doesn't exist.
        ConfigError: It has no such partition, or offsets lie beyond its end.
        BrokerError: It can't be asked.
    """
    cluster = Cluster(settings, query.topic)
    topic_id, count = cluster.describe()
    numbers = _wanted(query, count)
    low = cluster.offsets(numbers, OffsetSpec.earliest)
    high = cluster.offsets(numbers, OffsetSpec.latest)
    start, gaps = _starts(cluster, query, low, high)
    end = _ends(cluster, query, numbers, high)
    ranges = tuple(Range(each, start[each], end[each]) for each in numbers if start[each] < end[each])
    return Plan(cluster.topic, topic_id, count, ranges, tuple(gaps), {each: start[each] for each in numbers})


def _wanted(query: Query, count: int) -> list[int]:
    numbers = set(range(count))
    named = {*(query.partitions or ()), *(query.start.offsets or ()), *(query.end.offsets or ())}
    if beyond := sorted(named - numbers):
        raise ConfigError(
            f"Topic {query.topic!r} has no partition {', '.join(map(str, beyond))}.",
            hint=f"It has {count}: 0 to {count - 1}.",
        )
    begun = {*(query.start.offsets or ())}
    if query.start.offsets is not None and query.start.only_these:
        numbers &= begun
    for asked in (query.partitions, query.end.offsets):
        if asked is not None:
            numbers &= set(asked)
    if query.keys is not None and query.prune:
        # What has been begun is read to its end, though its keys go elsewhere since the topic has more partitions.
        going_on = set() if query.start.only_these else begun
        numbers &= {partition_of(key, count) for key in query.keys} | going_on
    return sorted(numbers)


def _starts(
    cluster: Cluster, query: Query, low: dict[int, int], high: dict[int, int]
) -> tuple[dict[int, int], list[Gap]]:
    begun = query.start.offsets or {}
    fresh = {each: low[each] for each in low if each not in begun}
    if query.start.time_ms is not None:
        # The first offset with such a timestamp or a later one: nothing before it is of the range.
        first = cluster.offsets(fresh, _at(query.start.time_ms))
        fresh = {each: high[each] if first[each] < 0 else max(first[each], low[each]) for each in fresh}
    asked = {each: begun.get(each, fresh.get(each, 0)) for each in low}
    if beyond := [f"{each}: {asked[each]} of {high[each]}" for each in low if asked[each] > high[each]]:
        raise ConfigError(
            f"Topic {query.topic!r} doesn't reach so far (partition: offset of end): {', '.join(beyond)}.",
            hint="If it was deleted and made anew, start at the beginning.",
        )
    gaps = [Gap(each, asked[each], low[each]) for each in low if asked[each] < low[each]]
    return {each: max(asked[each], low[each]) for each in low}, gaps


def _ends(cluster: Cluster, query: Query, numbers: list[int], high: dict[int, int]) -> dict[int, int]:
    if query.end.offsets is not None:
        return {each: min(query.end.offsets[each], high[each]) for each in numbers}
    if query.end.time_ms is None:
        return high
    # Timestamps come from the publishers' clocks, so that earlier ones may lie behind this offset: hence the slack.
    until = cluster.offsets(numbers, _at(min(query.end.time_ms + query.slack_ms, (1 << 63) - 1)))
    return {each: high[each] if until[each] < 0 else min(until[each], high[each]) for each in numbers}


def _at(timestamp_ms: int) -> Callable[[], OffsetSpec]:
    return lambda: OffsetSpec.for_timestamp(timestamp_ms)
