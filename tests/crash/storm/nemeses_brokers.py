"""Nemeses of brokers: killed, stopped, paused, restarted one after the other.

Each waits until nothing is short of a replica: the next act would hit a second broker of three otherwise, which is more
than the failure model allows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random

from confluent_kafka import KafkaException

from tests.crash.storm.field import Field
from tests.integration.working import wait_until
from tidemill import broker
from tidemill.local.broker import Broker

HEALED_SECONDS = 90.0


def kill(field: Field, luck: Random) -> str:
    """SIGKILL a broker; it is started again some seconds later."""
    victim, seconds = _draw(field, luck), luck.uniform(1.0, 12.0)
    victim.kill()
    time.sleep(seconds)
    victim.start()
    until_replicated(field)
    return f"broker {victim.number}, for {seconds:.1f} s"


def restart(field: Field, luck: Random) -> str:
    """Stop a broker in good order and start it again."""
    victim = _draw(field, luck)
    _restart(field, victim)
    return f"broker {victim.number}"


def pause(field: Field, luck: Random) -> str:
    """SIGSTOP a broker: its connections stay open, and nothing answers."""
    victim, seconds = _draw(field, luck), luck.uniform(2.0, 14.0)
    victim.pause()
    try:
        time.sleep(seconds)
    finally:
        victim.resume()
    until_replicated(field)
    return f"broker {victim.number}, for {seconds:.1f} s"


def roll(field: Field, luck: Random) -> str:
    """Restart all brokers, one after the other, as an upgrade does."""
    order = list(field.stack.brokers)
    luck.shuffle(order)
    for victim in order:
        _restart(field, victim)
    return "brokers " + ", ".join(str(victim.number) for victim in order)


def until_replicated(field: Field) -> None:
    """Wait until every partition of the cluster has all its replicas in sync, and a leader."""
    admin = broker.admin_client(field.settings)

    def replicated() -> bool:
        try:
            topics: Iterable[object] = admin.list_topics(timeout=5).topics.values()
        except KafkaException:
            return False
        partitions = [part for topic in topics for part in topic.partitions.values()]  # type: ignore[attr-defined]
        return bool(partitions) and all(
            part.leader >= 0 and len(part.isrs) == len(part.replicas) for part in partitions
        )

    wait_until(replicated, "all replicas are in sync again", HEALED_SECONDS)


def _restart(field: Field, victim: Broker) -> None:
    victim.stop()
    victim.start()
    until_replicated(field)


def _draw(field: Field, luck: Random) -> Broker:
    return luck.choice(field.stack.brokers)
