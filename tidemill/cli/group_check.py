"""Whether the logs hold what the streams' consumer groups are to read next: a check of `tidemill doctor`.

It sees what a worker would tell as an alarm, also while no worker runs. It reads, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.cli.finding import Finding

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from tidemill.config import Settings

NAME = "streams"
ASK_SECONDS = 10.0
MOST_SHOWN = 3

Key = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True)
class Standing:
    """How far a group is in one partition, and what there is."""

    group: str
    topic: str
    partition: int
    committed: int
    low: int
    """First offset that the log holds."""
    high: int
    """Offset after the last."""

    @property
    def fault(self) -> str | None:
        """What is wrong, in words."""
        place = f"{self.topic} [{self.partition}]"
        if self.committed < self.low:
            return (
                f"{self.group}: {self.low - self.committed:,} events of {place} were deleted unread "
                f"(offsets {self.committed} to {self.low - 1})"
            )
        if self.committed > self.high:
            return f"{self.group} has read {place} up to {self.committed}, but its log ends at {self.high}"
        return None

    @property
    def lag(self) -> int:
        """Events that are there and not read."""
        return max(0, self.high - max(self.committed, self.low))


def judge(standings: Sequence[Standing]) -> Finding:
    """What the doctor says of the groups."""
    if not standings:
        return Finding(NAME, None, "no stream has committed anything yet")
    faults = [fault for standing in standings if (fault := standing.fault)]
    if faults:
        more = f" and {len(faults) - MOST_SHOWN} more" if len(faults) > MOST_SHOWN else ""
        return Finding(
            NAME,
            False,
            "; ".join(faults[:MOST_SHOWN]) + more,
            "A worker tells it in its log and goes on; give the topic a longer retention (docs/streams.md).",
        )
    groups = len({standing.group for standing in standings})
    lag = sum(standing.lag for standing in standings)
    behind = f"{lag:,} events behind" if lag else "nothing left to do"
    return Finding(NAME, True, f"{groups} group{'' if groups == 1 else 's'}, {behind}")


def check_groups(settings: Settings) -> Finding:
    """Look at all groups of streams in this namespace.

    Raises:
        BrokerError: The cluster can't be asked.
    """
    try:
        return judge(_standings(broker.admin_client(settings), settings))
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings) from error


def _standings(admin: AdminClient, settings: Settings) -> list[Standing]:
    listed = admin.list_consumer_groups(request_timeout=ASK_SECONDS).result(ASK_SECONDS).valid
    prefix = settings.qualified("tidemill.")
    groups = sorted(group.group_id for group in listed if group.group_id.startswith(prefix))
    topics = admin.list_topics(timeout=ASK_SECONDS).topics
    parts = [
        TopicPartition(topic, number)
        for topic in sorted(topics)
        if topic.startswith(settings.namespace) and not topic.startswith("__")
        for number in topics[topic].partitions
    ]
    committed: dict[tuple[str, Key], int] = {}
    for group in groups if parts else []:
        for part in _committed(settings, group.removeprefix(settings.namespace), parts):
            if part.error is not None:
                raise KafkaException(part.error)
            if part.offset >= 0:
                committed[group, (part.topic, part.partition)] = part.offset
    keys = {key for _, key in committed}
    low, high = _ends(admin, keys, earliest=True), _ends(admin, keys, earliest=False)
    return [
        Standing(group, *key, offset, low[key], high[key])
        for (group, key), offset in committed.items()
        if key in low and key in high
    ]


def _committed(settings: Settings, group: str, parts: list[TopicPartition]) -> list[TopicPartition]:
    """What a group has committed of some partitions.

    By a consumer that never subscribes, and so is no member: AdminClient.list_consumer_group_offsets ends the process
    (SIGSEGV) where the group's coordinator is being elected (librdkafka 2.16.0: rd_kafka_handle_OffsetFetch calls
    rd_kafka_cgrp_op for a client that has no group).
    """
    consumer = Consumer(broker.consumer_config(settings, group))
    deadline = time.monotonic() + ASK_SECONDS
    try:
        while True:
            try:
                return consumer.committed(parts, timeout=ASK_SECONDS)
            except KafkaException as error:
                # librdkafka asks no second time where the coordinator is just moving (rd_kafka_committed, 2.16.0).
                if error.args[0].code() not in broker.COORDINATOR_MOVES or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    finally:
        consumer.close()


def _ends(admin: AdminClient, keys: set[Key], *, earliest: bool) -> Mapping[Key, int]:
    """One end of each log; those of topics that are gone are left out, `topics` tells of them."""
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

    spec = OffsetSpec.earliest() if earliest else OffsetSpec.latest()  # type: ignore[no-untyped-call]
    if not keys:
        return {}
    found = {}
    asked = admin.list_offsets({TopicPartition(*key): spec for key in keys}, request_timeout=ASK_SECONDS)
    for part, answer in asked.items():
        try:
            found[part.topic, part.partition] = answer.result(ASK_SECONDS).offset
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):
                raise
    return found
