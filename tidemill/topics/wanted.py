"""The topics that there should be: per contract one for its events and one for its dead letters, and the house's own.

Reads the installed event classes and, where there is one, the folder of contracts; no Kafka here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from tidemill.broker import BATCH_OVERHEAD_BYTES, HEADROOM_BYTES
from tidemill.config import Settings
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.contract import Contract
from tidemill.contracts.folder import read_folder
from tidemill.errors import ConfigError, ContractError
from tidemill.topics.house import HouseTopic

CLEANUP = "cleanup.policy"
RETENTION = "retention.ms"
MAX_BYTES = "max.message.bytes"
MIN_ISR = "min.insync.replicas"

DEAD_PARTITIONS = 3
"""Dead letters are few, and nobody reads them in parallel."""
DEAD_RETENTION = timedelta(days=30)
"""Long enough for a person to look and decide, after holidays too."""
MOST_REPLICAS = 3


@dataclass(frozen=True)
class Topic:
    """A topic and its settings: one that there should be, or one that there is."""

    name: str
    """With the namespace."""
    partitions: int
    replication: int
    config: dict[str, str]
    """Kafka's topic settings, by their own names."""
    keyed: bool = False
    """Whether its events have keys, so that the number of partitions decides where a key goes."""
    purpose: str = ""
    """What it is for, e.g. `image.requested` or `dead letters of image.requested`."""
    internal: bool = field(default=False, compare=False)
    """Whether Kafka keeps it for itself, e.g. `__consumer_offsets`."""


def known_contracts(settings: Settings) -> list[Contract]:
    """Contracts of the installed event classes, and those of `schemas_dir` whose type isn't installed.

    Raises:
        ContractError: A contract can't be read, or two contracts share a topic.
    """
    contracts = [cls.__contract__ for cls in installed_events()]
    if any(settings.schemas_dir.glob("*.avsc")):
        types = {contract.type for contract in contracts}
        owners = {contract.topic: contract.type for contract in contracts}
        for examined in read_folder(settings.schemas_dir):
            contract = examined.contract
            if contract.type in types:
                continue
            if contract.topic in owners:
                raise ContractError(
                    f"{examined.origin} has the topic {contract.topic!r}, "
                    f"which is that of the installed event type {owners[contract.topic]!r}.",
                    hint="Give each contract its own topic.",
                )
            contracts.append(contract)
    return sorted(contracts, key=lambda contract: contract.type)


def wanted_topics(
    settings: Settings,
    contracts: Iterable[Contract],
    *,
    house: Iterable[HouseTopic] = (),
    brokers: int,
    replication: int | None = None,
) -> list[Topic]:
    """The topics of these contracts and of the house, sorted by name.

    Args:
        settings: Namespace and `max_event_bytes`.
        contracts: What events there are.
        house: Topics without a contract.
        brokers: Number of brokers of the cluster.
        replication: Copies of each partition; None means 3, or as many as there are brokers.

    Raises:
        ConfigError: More copies are asked for than there are brokers, or fewer than one.
    """
    if replication is not None and not 1 <= replication <= brokers:
        raise ConfigError(
            f"A replication of {replication} can't be had of {brokers} broker(s).",
            hint=f"Give 1 to {brokers}, or leave it out.",
        )
    copies = min(MOST_REPLICAS, brokers) if replication is None else replication
    topics = []
    for contract in contracts:
        most_bytes = settings.max_event_bytes + BATCH_OVERHEAD_BYTES
        topics.append(
            Topic(
                name=settings.qualified(contract.topic),
                partitions=contract.partitions,
                replication=copies,
                config=_config(contract.cleanup, contract.retention, most_bytes, copies),
                keyed=contract.key is not None,
                purpose=contract.type,
            )
        )
        topics.append(
            Topic(
                name=settings.qualified(contract.dead_topic),
                partitions=min(DEAD_PARTITIONS, contract.partitions),
                replication=copies,
                config=_config("delete", DEAD_RETENTION, most_bytes + HEADROOM_BYTES, copies),
                keyed=contract.key is not None,
                purpose=f"dead letters of {contract.type}",
            )
        )
    for own in house:
        # An event that waits has its route in headers besides.
        sizes = _sizes(settings.max_event_bytes + BATCH_OVERHEAD_BYTES + HEADROOM_BYTES, copies)
        topics.append(
            Topic(
                name=settings.qualified(own.name),
                partitions=own.partitions,
                replication=copies,
                config={**own.config, **sizes},
                keyed=True,
                purpose=own.purpose,
            )
        )
    return sorted(topics, key=lambda topic: topic.name)


def min_insync_replicas(replication: int) -> int:
    """Copies that must have an event before it is acknowledged, so that one lost broker stops nobody."""
    return max(1, replication - 1)


def _config(cleanup: str, retention: timedelta | None, most_bytes: int, replication: int) -> dict[str, str]:
    return {
        CLEANUP: cleanup,
        RETENTION: "-1" if retention is None else str(retention // timedelta(milliseconds=1)),
        **_sizes(most_bytes, replication),
    }


def _sizes(most_bytes: int, replication: int) -> dict[str, str]:
    return {MAX_BYTES: str(most_bytes), MIN_ISR: str(min_insync_replicas(replication))}
