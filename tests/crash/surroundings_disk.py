"""Nemeses of the disk: one broker's, and the workers', run full and are emptied again.

Relies on small file systems in memory (tmpfs), mounted before anything starts; mounting needs root.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import psutil

from tests.crash.storm import nemeses_workers
from tests.crash.storm.field import Field, Ground, Nemesis
from tests.crash.surroundings_replicas import wait_until_in_sync
from tests.integration.working import wait_until
from tidemill.config import Settings
from tidemill.local.layout import Layout

BROKER = 3
"""The one whose data lies on a small disk."""
BROKER_DISK_MB = 1024
"""Room for half an hour of events; memory is taken only by what is written."""
WORKER_DISK_MB = 16
LABEL = "tidemill-storm-"
"""What `mount` shows for such a disk, and the number of the process that mounted it."""
BALLAST = "ballast"
HALTS_WITHIN_SECONDS = 45.0


def why_not() -> str | None:
    """Why no disk can be mounted here; None where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "mounting a small disk needs Linux and root"
    try:
        # A container's root may not, so try.
        with TemporaryDirectory() as folder, small_disk(Path(folder), 1):
            return None
    except subprocess.CalledProcessError as error:
        return f"no small disk can be mounted: {error.stderr.decode().splitlines()[0]}"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own at this folder, in memory, which is made if it isn't there.

    Raises:
        CalledProcessError: It can't be mounted, or is still in use at the end.
    """
    _sweep()
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", f"{LABEL}{os.getpid()}", str(folder)],
        check=True,
        capture_output=True,
    )
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def _sweep() -> None:
    """Unmount the disks of storms that were killed."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        label, where, *_ = line.split()
        if label.startswith(LABEL) and not psutil.pid_exists(int(label.removeprefix(LABEL))):
            subprocess.run(["umount", "--lazy", where], check=True, capture_output=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """The folder's disk has not a byte left, for the time of the block."""
    ballast = folder / BALLAST
    try:
        with ballast.open("wb", buffering=0) as file:
            for size_bytes in (1024 * 1024, 4096, 1):
                _write_until_full(file.fileno(), size_bytes)
        yield
    finally:
        ballast.unlink()


def _write_until_full(descriptor: int, size_bytes: int) -> None:
    block = bytes(size_bytes)
    try:
        while True:
            os.write(descriptor, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def broker_disk(settings: Settings) -> Path:
    """The folder of the broker that has a small disk."""
    return Layout(settings.state_dir.absolute()).broker_data(BROKER)


@contextmanager
def small_disk_for_a_broker(ground: Ground) -> Iterator[None]:
    """One broker keeps its data on a small disk."""
    with small_disk(broker_disk(ground.settings), BROKER_DISK_MB):
        yield


def fill_a_brokers_disk(field: Field, luck: Random) -> str:
    """One broker can write nothing more, so Kafka halts it; there is room again, and somebody starts it."""
    broker = field.stack.broker(BROKER)
    with full(broker_disk(field.stack.settings)):
        wait_until(lambda: not broker.is_alive, f"broker {BROKER} halts on its full disk", HALTS_WITHIN_SECONDS)
        time.sleep(luck.uniform(1.0, 5.0))
    broker.start()
    wait_until_in_sync(field.settings, len(field.stack.brokers))
    return f"broker {BROKER} halted, and was started with room again"


@contextmanager
def small_disk_for_workers(field: Field) -> Iterator[None]:
    """Workers have their state and their temporary files on a small disk."""
    folder = field.folder / "disk-of-workers"
    with small_disk(folder, WORKER_DISK_MB):
        field.crew.variables |= {"TIDEMILL_STATE_DIR": str(folder), "TMPDIR": str(folder)}
        yield


def fill_the_workers_disk(field: Field, luck: Random) -> str:
    """Workers can write nothing to their disk, and one of them is killed and must come back like that."""
    with full(Path(field.crew.variables["TIDEMILL_STATE_DIR"])):
        time.sleep(luck.uniform(1.0, 3.0))
        struck = nemeses_workers.kill(field, luck)
        time.sleep(luck.uniform(1.0, 3.0))
    return f"all workers'; killed, and back on it: {struck}"


NEMESES = [
    Nemesis(
        "fill-broker-disk",
        1,
        fill_a_brokers_disk,
        most_stall_seconds=15.0,
        before=small_disk_for_a_broker,
    ),
    Nemesis("fill-worker-disk", 1, fill_the_workers_disk, around=small_disk_for_workers),
]
