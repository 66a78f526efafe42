"""Topics of a Kafka cluster: read, compared with the contracts, made and altered.

Relies on Kafka's admin API through confluent-kafka. Doing it again changes nothing, and two at once don't disturb each
other: a topic that another one has just made is as good as one's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tidemill import broker
from tidemill.config import Settings
from tidemill.contracts.contract import Contract
from tidemill.topics.house import COMPACTED, HouseTopic, house_topics
from tidemill.topics.plan import Change, plan
from tidemill.topics.wanted import CLEANUP, MAX_BYTES, MIN_ISR, RETENTION, Topic, known_contracts, wanted_topics

TIMEOUT_SECONDS = 15.0
"""For each request to the cluster."""
CONNECT_SECONDS = 5.0
"""For the first one, which finds out whether anybody is there."""
READY_SECONDS = 45.0
"""How long new partitions may take until their leaders answer."""
_ELECTING = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        # "No leaders found": librdkafka's own word for partitions of which none has a leader yet.
        KafkaError._NOENT,
        KafkaError._UNKNOWN_TOPIC,
    }
)
"""What is said of a partition while its brokers come to know of it."""
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
_READ = {CLEANUP, RETENTION, MAX_BYTES, MIN_ISR, *COMPACTED}


def read_topics(settings: Settings, names: Iterable[str] | None = None) -> dict[str, Topic]:
    """Topics of the cluster and their settings, by name.

    Args:
        settings: The cluster's address.
        names: Which ones, with the namespace; those that don't exist are left out. None means all.

    Raises:
        BrokerUnreachable, NotAuthorized, BrokerError: The cluster can't be asked.
    """
    admin = broker.admin_client(settings)
    return _read(admin, settings, _metadata(admin, settings), names)


def event_counts(settings: Settings, topics: Mapping[str, Topic]) -> dict[str, int]:
    """Offsets between begin and end of each topic: the number of its events, or more where it is compacted or
    transactional, since removed events and transaction markers count.

    Raises:
        BrokerError: An offset can't be read.
    """

    admin = broker.admin_client(settings)
    counts = dict.fromkeys(topics, 0)
    partitions = _all_partitions(topics.values())
    for spec, sign in ((_EARLIEST, -1), (_LATEST, 1)):
        for (topic, _), offset in _offsets(admin, settings, partitions, spec).items():
            counts[topic] += sign * offset
    return counts


def difference(
    settings: Settings,
    contracts: Sequence[Contract] | None = None,
    *,
    house: Sequence[HouseTopic] | None = None,
    replication: int | None = None,
) -> list[Change]:
    """What `apply` would do, and what it would leave as it is.

    Args:
        settings: The cluster's address, namespace, limits.
        contracts: Default: all that are known (`known_contracts`).
        house: Topics without a contract; default: the known ones (`house_topics`), or none where contracts are given.
        replication: Copies of each partition; None means 3, or as many as there are brokers.

    Raises:
        ConfigError: The cluster is too small for that replication.
        ContractError: The contracts can't be read.
        BrokerUnreachable, NotAuthorized, BrokerError: The cluster can't be asked.
    """
    return _compare(broker.admin_client(settings), settings, contracts, house, replication)[0]


def apply(
    settings: Settings,
    contracts: Sequence[Contract] | None = None,
    *,
    house: Sequence[HouseTopic] | None = None,
    replication: int | None = None,
) -> list[Change]:
    """Make and alter topics until they are as their contracts say; never deletes one or lowers its partitions.

    Returns when the leader of every new partition answers, so that events can be published at once.

    Args:
        settings: The cluster's address, namespace, limits.
        contracts: Default: all that are known (`known_contracts`).
        house: Topics without a contract; default: the known ones (`house_topics`), or none where contracts are given.
        replication: Copies of each partition; None means 3, or as many as there are brokers.

    Returns:
        What was done, and what was left as it is; empty if all was well already.

    Raises:
        As `difference`.
    """
    admin = broker.admin_client(settings)
    changes, wanted = _compare(admin, settings, contracts, house, replication)
    _create(admin, settings, [wanted[change.topic] for change in changes if change.action == "create"])
    _add_partitions(admin, settings, [wanted[change.topic] for change in changes if change.action == "add partitions"])
    _set(admin, settings, [change for change in changes if change.action == "set"])
    # Metadata name a leader before it serves its partition; an offset is an answer of that leader itself.
    grown = [wanted[change.topic] for change in changes if change.action in ("create", "add partitions")]
    _offsets(admin, settings, _all_partitions(grown), _LATEST)
    return changes


def _compare(
    admin: AdminClient,
    settings: Settings,
    contracts: Sequence[Contract] | None,
    house: Sequence[HouseTopic] | None,
    replication: int | None,
) -> tuple[list[Change], dict[str, Topic]]:
    if house is None:
        house = house_topics() if contracts is None else []
    known = known_contracts(settings) if contracts is None else contracts
    metadata = _metadata(admin, settings)
    wanted = {
        topic.name: topic
        for topic in wanted_topics(settings, known, house=house, brokers=len(metadata.brokers), replication=replication)
    }
    return plan(wanted.values(), _read(admin, settings, metadata, wanted)), wanted


def _metadata(admin: AdminClient, settings: Settings) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=CONNECT_SECONDS)
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings) from error


def _read(
    admin: AdminClient, settings: Settings, metadata: ClusterMetadata, names: Iterable[str] | None
) -> dict[str, Topic]:

    there = (
        metadata.topics if names is None else {name: metadata.topics[name] for name in names if name in metadata.topics}
    )
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
    answers = admin.describe_configs(resources, request_timeout=TIMEOUT_SECONDS) if resources else {}
    topics = {}
    for resource, future in answers.items():
        config = _answer(future, settings, resource.name)
        partitions = there[resource.name].partitions
        topics[resource.name] = Topic(
            name=resource.name,
            partitions=len(partitions),
            replication=min((len(each.replicas) for each in partitions.values()), default=0),
            config={name: config[name].value for name in _READ if name in config},
            internal=resource.name.startswith("__"),
        )
    return topics


def _create(admin: AdminClient, settings: Settings, topics: Sequence[Topic]) -> None:

    if not topics:
        return
    new = [NewTopic(topic.name, topic.partitions, topic.replication, config=topic.config) for topic in topics]
    for name, future in admin.create_topics(new, request_timeout=TIMEOUT_SECONDS).items():
        _answer(future, settings, name, fine=KafkaError.TOPIC_ALREADY_EXISTS)


def _add_partitions(admin: AdminClient, settings: Settings, topics: Sequence[Topic]) -> None:

    if not topics:
        return
    asked = admin.create_partitions(
        [NewPartitions(topic.name, topic.partitions) for topic in topics], request_timeout=TIMEOUT_SECONDS
    )
    for name, future in asked.items():
        # Another one may have added them meanwhile; whether there are enough, their offsets show.
        _answer(future, settings, name, fine=KafkaError.INVALID_PARTITIONS)


def _set(admin: AdminClient, settings: Settings, changes: Sequence[Change]) -> None:

    entries: dict[str, list[ConfigEntry]] = {}
    for change in changes:
        entry = ConfigEntry(change.setting, change.wanted, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(change.topic, []).append(entry)
    if not entries:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=each) for name, each in entries.items()]
    for resource, future in admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_SECONDS).items():
        _answer(future, settings, resource.name)


def _offsets(
    admin: AdminClient, settings: Settings, partitions: Iterable[TopicPartition], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    """An offset of each partition; waits for those that are only just getting their leaders."""
    found: dict[tuple[str, int], int] = {}
    left = list(partitions)
    deadline = time.monotonic() + READY_SECONDS
    while left:
        again = []
        for partition, future in admin.list_offsets(dict.fromkeys(left, spec), request_timeout=TIMEOUT_SECONDS).items():
            try:
                found[partition.topic, partition.partition] = future.result(timeout=2 * TIMEOUT_SECONDS).offset
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() not in _ELECTING or time.monotonic() >= deadline:
                    raise broker.from_kafka(cause, settings, topic=partition.topic) from error
                again.append(TopicPartition(partition.topic, partition.partition))
        left = again
        if left:
            time.sleep(0.05)
            # A client that once found no leaders can go on answering so from its cache (librdkafka 2.16, "No leaders
            # found"), long after they are there: ask with a fresh one.
            admin = broker.admin_client(settings)
    return found


def _all_partitions(topics: Iterable[Topic]) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]


def _answer(future: Future[Any], settings: Settings, topic: str, *, fine: int | None = None) -> Any:
    try:
        return future.result(timeout=TIMEOUT_SECONDS * 2)
    except KafkaException as error:
        if fine is not None and error.args[0].code() == fine:
            return None
        raise broker.from_kafka(error.args[0], settings, topic=topic) from error
