"""Fixtures that every test may use: a real Kafka with a registry, started once a run, and settings for it.

Nothing starts until a test asks for `stack` or `settings`, so unit tests need no Java. TIDEMILL_TEST_BROKER=docker runs
Kafka and the registry in containers instead. Must leave no process behind, whatever a test did.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tidemill.config import Settings, load_settings

# xdist sets it in its processes, and rich fixes the width of a console that is made while it is set.
os.environ.pop("COLUMNS", None)


class Addresses(Protocol):
    """What a test needs to know of the stack, wherever it runs."""

    @property
    def bootstrap_servers(self) -> str:
        """host:port, comma-separated."""

    @property
    def registry_url(self) -> str | None:
        """Confluent-compatible API."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """With `-n 4`: all storms in one process, each in turn.

    In the order of the folders, crash, integration, unit: what takes longest and mostly waits begins first, beside it
    runs the rest, and at the end no process waits for another one's storms.
    """
    config.option.loadscopereorder = False
    return StormsInTurn(config, log)


class StormsInTurn(LoadScopeScheduling):  # type: ignore[misc]
    """Gives whole files to processes, and all of tests/crash as if it were one: storms at once would only measure each
    other."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "storms" if file.startswith("tests/crash/") else file


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """One broker and one registry for the whole run, on free ports and with data of their own."""
    where = os.environ.get("TIDEMILL_TEST_BROKER", "local")
    if where not in ("local", "docker"):
        pytest.fail(f"TIDEMILL_TEST_BROKER is {where!r}, expected 'local' or 'docker'.")
    if where == "docker":
        with _containers() as addresses:
            yield addresses
        return
    from tidemill.local import Stack

    settings = load_settings(state_dir=tmp_path_factory.mktemp("stack"))
    with Stack.start(settings, kafka_port=0, registry_port=0, timeout_seconds=150) as stack:
        yield stack


@dataclass(frozen=True)
class ContainerAddresses:
    bootstrap_servers: str
    registry_url: str | None


@contextmanager
def _containers() -> Iterator[ContainerAddresses]:
    """The same two programs, of the same versions and settings, from their own container images."""
    from testcontainers.core.container import DockerContainer

    from tidemill.local import kafka, ports, readiness, registry
    from tidemill.local.artifacts import locked

    # The broker tells clients its address, so the port must be known before the container starts.
    client_port, registry_port = ports.any_free(2)
    node = kafka.Node(1, client_port, 9093)
    server_settings = kafka.node_settings(node, [node], Path("/var/lib/kafka/data"), {})
    server_settings["listeners"] = f"CLIENT://0.0.0.0:{client_port},CONTROLLER://127.0.0.1:9093"
    broker = DockerContainer(f"apache/kafka:{locked('kafka').version}").with_bind_ports(client_port, client_port)
    broker.with_env("CLUSTER_ID", kafka.new_cluster_id())
    for name, value in server_settings.items():
        broker.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    apicurio = DockerContainer(f"apicurio/apicurio-registry:{locked('registry').version}")
    apicurio.with_bind_ports(8080, registry_port)

    with broker, apicurio:
        addresses = ContainerAddresses(kafka.bootstrap_servers([node]), registry.url(registry_port))
        deadline = time.monotonic() + 150
        while not (
            readiness.brokers_answering(addresses.bootstrap_servers)
            and readiness.registry_answers(registry.url(registry_port))
        ):
            if time.monotonic() > deadline:
                logs = [
                    b"".join(container.get_logs()).decode(errors="replace")[-2000:] for container in (broker, apicurio)
                ]
                pytest.fail("The containers didn't answer within 150 s.\n" + "\n----\n".join(logs))
            time.sleep(0.2)
        yield addresses


@pytest.fixture
def settings(stack: Addresses, tmp_path: Path) -> Settings:
    """Settings for the running stack, with topics, subjects, groups and folders that no other test uses."""
    return load_settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        namespace=f"t{uuid.uuid4().hex[:8]}.",
        state_dir=tmp_path / "state",
        schemas_dir=Path(__file__).parent.parent / "schemas",
    )


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fails the run if a child process outlives it: a leak in a test hides a leak in the product."""
    before = set(psutil.Process().children(recursive=True))
    yield
    started = [child for child in psutil.Process().children(recursive=True) if child not in before]
    _, alive = psutil.wait_procs(started, timeout=10)
    left = [f"{child.pid} {' '.join(child.cmdline())[:200]}" for child in alive if child.is_running()]
    for child in alive:
        child.kill()
    assert not left, "Processes were left running:\n" + "\n".join(left)
