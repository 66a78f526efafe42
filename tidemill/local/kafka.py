"""What a Kafka node of the local stack is: its settings and command lines, computed, nothing started.

Each node is broker and controller in one (KRaft). Listens on 127.0.0.1 only. Settings follow Kafka 4.3's reference;
where one differs from Kafka's default, the reason stands beside it.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemill.local import java
from tidemill.local.artifacts import locked
from tidemill.local.layout import Layout
from tidemill.local.ports import HOST
from tidemill.local.program import Program, marks

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True)
class Node:
    """One Kafka node.

    Args:
        number: Its `node.id`, from 1.
        client_port: Where clients and other brokers connect.
        controller_port: Where controllers talk to each other.
    """

    number: int
    client_port: int
    controller_port: int


def bootstrap_servers(nodes: Sequence[Node]) -> str:
    """The addresses that clients start from."""
    return ",".join(f"{HOST}:{node.client_port}" for node in nodes)


def new_cluster_id() -> str:
    """A random cluster id as Kafka writes them: a UUID in URL-safe base64."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka's own generator skips these too (KAFKA-7354): on a command line they look like an option.
        if not cluster_id.startswith("-"):
            return cluster_id


def node_settings(node: Node, nodes: Sequence[Node], data_dir: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """All settings of one node.

    Args:
        node: The node.
        nodes: All nodes of the cluster, itself included.
        data_dir: Where it keeps its data.
        extra: Further broker settings, by their own names; they win.
    """
    replicas = str(min(3, len(nodes)))
    in_sync = str(max(1, min(3, len(nodes)) - 1))
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{n.number}@{HOST}:{n.controller_port}" for n in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://{HOST}:{node.client_port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"CLIENT://{HOST}:{node.client_port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": str(data_dir),
        # Topics come from contracts; a typing error must not make one.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        # Kafka's defaults (3 replicas, 50 partitions) are for clusters; one broker would never make these topics.
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "12",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "12",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "12",
        # A local stack may rest for weeks; Kafka forgets the offsets of an idle group after 7 days.
        "offsets.retention.minutes": str(60 * 24 * 90),
        # Classic groups start at once instead of waiting 3 s for more members.
        "group.initial.rebalance.delay.ms": "0",
        # KIP-848 groups: a killed worker is noticed after 6 s (default 45 s). The least allowed values default to
        # 45 s and 5 s, so they move too.
        "group.consumer.min.session.timeout.ms": "6000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "1000",
        "group.consumer.heartbeat.interval.ms": "1000",
        # A killed broker's partitions get another leader after this time (default 9 s), and it can't come back before.
        # Alone it has no other leader to wait for, so less is lost by a false alarm.
        "broker.session.timeout.ms": "3000" if len(nodes) == 1 else "6000",
        "broker.heartbeat.interval.ms": "500",
        # Half of a small heap by default (128 MB).
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }
    return settings | dict(extra)


def properties(settings: Mapping[str, str]) -> str:
    """Settings as the text of a Java properties file (Java reads it as Latin-1, so other characters are escaped)."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    utf16 = value.replace("\\", "\\\\").encode("utf-16-be")
    units = (int.from_bytes(utf16[i : i + 2], "big") for i in range(0, len(utf16), 2))
    return "".join(chr(unit) if 32 <= unit < 127 else f"\\u{unit:04x}" for unit in units)


def class_path(folder: Path) -> str:
    """Class path of exactly the locked jars in this folder."""
    return ":".join(str(folder / artifact.file_name) for artifact in locked("kafka").artifacts)


def format_command(
    folder: Path, layout: Layout, node: Node, cluster_id: str, process_marks: tuple[str, ...]
) -> tuple[str, ...]:
    """Command that prepares a node's empty data folder."""
    return (
        *java.command(java.KAFKA_OPTIONS, temporary_dir=layout.temporary_dir, log_dir=layout.log_dir),
        *process_marks,
        f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
        *("-cp", class_path(folder)),
        "kafka.tools.StorageTool",
        "format",
        *("--cluster-id", cluster_id),
        *("--config", str(layout.broker_config(node.number))),
    )


def program(folder: Path, layout: Layout, node: Node, stack_id: str, java_options: tuple[str, ...]) -> Program:
    """The node as a program to run.

    Args:
        folder: Kafka's jars.
        layout: Where its settings and log are.
        node: Which node.
        stack_id: The stack that it is part of.
        java_options: Memory and collector.
    """
    name = f"kafka-{node.number}"
    command = (
        *java.command(java_options, temporary_dir=layout.temporary_dir, log_dir=layout.log_dir),
        *marks(stack_id, layout.state_dir),
        f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
        *("-cp", class_path(folder)),
        "kafka.Kafka",
        str(layout.broker_config(node.number)),
    )
    return Program(name, f"Kafka broker {node.number}", command, layout.log(name), node.client_port)
