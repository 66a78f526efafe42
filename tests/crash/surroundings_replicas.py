"""Whether all copies of all partitions are up to date: before that, a second broker must not be lost."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException

from tests.integration.working import wait_until
from tidemill import broker
from tidemill.config import Settings

STEADY_SECONDS = 2.0
"""A broker that was silent believes for a moment that nothing has changed, and says so."""
MOST_SECONDS = 90.0


def wait_until_in_sync(settings: Settings, brokers: int) -> None:
    """Wait until all brokers are there and every partition has all its replicas in sync, and has had for two seconds.

    Raises:
        AssertionError: Not within a minute and a half.
    """
    admin = broker.admin_client(settings)
    since = float("inf")

    def steady() -> bool:
        nonlocal since
        now = time.monotonic()
        try:
            cluster = admin.list_topics(timeout=2)
        except KafkaException:
            since = float("inf")
            return False
        lagging = any(
            len(partition.isrs) < len(partition.replicas) or partition.leader < 0
            for topic in cluster.topics.values()
            for partition in topic.partitions.values()
        )
        since = float("inf") if lagging or len(cluster.brokers) < brokers else min(since, now)
        return now - since >= STEADY_SECONDS

    wait_until(steady, f"all replicas in sync on {brokers} brokers", MOST_SECONDS)
