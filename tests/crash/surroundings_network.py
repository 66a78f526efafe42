"""Nemeses of the network: a broker or a worker that nobody hears, packets that get lost, connections that are reset.

Relies on `surroundings_packets` for what falls, and on `ss -K` (sock_destroy(7), CONFIG_INET_DIAG_DESTROY) for resets.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import psutil

from tests.crash import surroundings_packets
from tests.crash.storm.field import Field, Ground, Nemesis
from tests.crash.storm.nemeses_workers import BACK_SECONDS
from tests.crash.surroundings_packets import dropped, own_group
from tests.crash.surroundings_replicas import wait_until_in_sync
from tests.integration.working import wait_until

BROKER_SILENCES_SECONDS = (3.0, 9.0, 15.0)
"""Shorter than the brokers' session time-out of 6 s, longer, and much longer."""
WORKER_SILENCES_SECONDS = (2.0, 9.0)
"""Shorter than the workers' session time-out of 6 s, and longer: then their partitions go elsewhere meanwhile."""


def why_not() -> str | None:
    """Why the network can't be broken here; None where it can."""
    return surroundings_packets.why_not() or (None if shutil.which("ss") else "resets need `ss` of iproute2")


@contextmanager
def prepared(ground: Ground) -> Iterator[None]:
    """Brokers and workers that are started within can be cut off."""
    with own_group():
        yield


def cut_off_a_broker(field: Field, luck: Random) -> str:
    """Neither clients nor brokers hear anything of one broker, nor does it of them."""
    broker = luck.choice(field.stack.brokers)
    seconds = luck.choice(BROKER_SILENCES_SECONDS)
    with dropped([broker.pid]):
        time.sleep(seconds)
    wait_until_in_sync(field.settings, len(field.stack.brokers))
    return f"broker {broker.number} for {seconds:g} s"


def cut_off_a_worker(field: Field, luck: Random) -> str:
    """A worker process goes on with what it has, and reaches neither Kafka nor the registry."""
    place = luck.choice(field.crew.places)
    seconds = luck.choice(WORKER_SILENCES_SECONDS)
    wait_until(lambda: place.worker() is not None, f"{place.name} has a worker process", BACK_SECONDS)
    worker = place.worker()
    assert worker is not None, f"the worker process of {place.name} has just ended"
    field.is_struck(worker, "pause")
    try:
        with dropped([worker.pid]):
            time.sleep(seconds)
    except psutil.NoSuchProcess:
        return f"{place.name}, process {worker.pid}, which had just ended by itself"
    return f"{place.name}, process {worker.pid}, for {seconds:g} s"


def lose_packets(field: Field, luck: Random) -> str:
    """A share of all packets from and to brokers falls; TCP sends them again, after 0.2 s and more each time."""
    share, seconds = luck.choice((0.02, 0.1, 0.2)), luck.uniform(6.0, 12.0)
    with dropped([broker.pid for broker in field.stack.brokers], share):
        time.sleep(seconds)
    wait_until_in_sync(field.settings, len(field.stack.brokers))
    return f"{share:.0%} of the packets of all brokers for {seconds:.1f} s"


def reset_connections(field: Field, luck: Random) -> str:
    """All connections to one broker end at once with a reset, as when a firewall forgets them."""
    broker = luck.choice(field.stack.brokers)
    count = reset(broker.pid, int(broker.address.rpartition(":")[2]))
    return f"{count} connections to broker {broker.number}"


def reset(pid: int, port: int) -> int:
    """End all connections that a process has accepted on a port; returns how many there were."""
    connections = psutil.Process(pid).net_connections("tcp4")
    accepted = [each for each in connections if each.raddr and each.laddr.port == port]
    subprocess.run(
        ["ss", "--no-header", "--tcp", "--kill", "state", "established", f"( sport = :{port} )"],
        check=True,
        capture_output=True,
    )
    return len(accepted)


NEMESES = [
    Nemesis("cut-off-broker", 2, cut_off_a_broker, most_stall_seconds=15.0, before=prepared),
    Nemesis("cut-off-worker", 2, cut_off_a_worker, before=prepared),
    Nemesis("lossy-network", 1, lose_packets, most_stall_seconds=15.0, before=prepared),
    Nemesis("reset-connections", 1, reset_connections, before=prepared),
]
