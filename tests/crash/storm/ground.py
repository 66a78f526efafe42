"""The ground of a storm: a stack of its own on free ports, what its nemeses need around it, and the settings."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import confluent_kafka
import psutil

from tests.crash.storm.field import Ground, Nemesis
from tidemill.config import Settings, load_settings
from tidemill.local import Stack
from tidemill.local.artifacts import locked

START_SECONDS = 150.0


@contextmanager
def ground(folder: Path, nemeses: Sequence[Nemesis], *, brokers: int) -> Iterator[Stack]:
    """A running stack, prepared for these nemeses.

    Args:
        folder: For its data, and the nemeses' files.
        nemeses: Those that will be drawn from.
        brokers: How many.

    Raises:
        LocalError: It can't be started.
    """
    place = Ground(folder, load_settings(state_dir=folder / "stack"))
    with ExitStack() as ends:
        # Some share theirs.
        for before in dict.fromkeys(nemesis.before for nemesis in nemeses):
            if before is not None:
                ends.enter_context(before(place))
        stack = Stack.start(
            place.settings,
            brokers=brokers,
            kafka_port=0,
            registry_port=0,
            kafka_settings=place.kafka_settings,
            timeout_seconds=START_SECONDS,
        )
        ends.enter_context(stack)
        yield stack


def settings_for(stack: Stack, folder: Path, *, namespace: str, protocol: str) -> Settings:
    """Settings of the storm's publisher and workers."""
    return load_settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        namespace=namespace,
        state_dir=folder / "state",
        group_protocol=protocol,
    )


def machine() -> dict[str, str]:
    """What a report says of the machine and of the programs."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "python": platform.python_version(),
        "kafka": locked("kafka").version,
        # Times of a machine that does other things beside say little.
        "load_average": f"{os.getloadavg()[1]:.1f}",
        "librdkafka": confluent_kafka.libversion()[0],
    }
