"""Housekeeping of the state folder: one command at a time, nothing left of an earlier stack, room, deletion.

Deletes only what the local stack itself wrote; never the object store, which lies in the same folder by default.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from tidemill.config import Settings
from tidemill.errors import LocalError
from tidemill.local import program, record
from tidemill.local.layout import Layout
from tidemill.local.progress import Progress

LOCK_SECONDS = 180.0
# Kafka's log.dirs splits at commas, H2's address at semicolons, Java's class path at colons.
UNUSABLE = ",;:"


def prepare(settings: Settings) -> Layout:
    """The state folder, made if missing.

    Raises:
        LocalError: It can't be made, or its name or the cache folder's holds a character that Java's settings can't.
    """
    for folder, variable in ((settings.state_dir, "TIDEMILL_STATE_DIR"), (settings.cache_dir, "TIDEMILL_CACHE_DIR")):
        if set(UNUSABLE) & set(str(folder.absolute())):
            raise LocalError(
                f"The folder {folder.absolute()} has one of {' '.join(UNUSABLE)} in its name, "
                "which Java's settings can't hold.",
                hint=f"Set {variable} to a folder without them.",
            )
    layout = Layout(settings.state_dir.absolute())
    try:
        layout.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(
            f"The state folder {layout.state_dir} can't be made: {error}.",
            hint="Set TIDEMILL_STATE_DIR to another one.",
        ) from error
    return layout


@contextmanager
def exclusive(layout: Layout, progress: Progress) -> Iterator[None]:
    """Keep other commands from starting or stopping this stack meanwhile.

    Raises:
        LocalError: Another command holds it for longer than it may, or the folder can't be written.
    """
    lock = FileLock(layout.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.stage("Waiting for another command that is starting or stopping the stack")
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout as error:
            raise LocalError(
                f"Another command has been starting or stopping this stack for {LOCK_SECONDS:g} s.",
                hint=f"End it; it holds {layout.lock_file}.",
            ) from error
    except OSError as error:
        raise LocalError(
            f"The state folder {layout.state_dir} can't be written: {error}.",
            hint="Set TIDEMILL_STATE_DIR to a folder of yours that can be.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def require_brokers(layout: Layout, brokers: int) -> None:
    """Refuse data that was formatted for another number of brokers.

    Raises:
        LocalError: It was.
    """
    cluster = record.read_cluster(layout.cluster_file)
    if cluster is not None and cluster.brokers != brokers:
        raise LocalError(
            f"The data in {layout.cluster_file.parent} is that of {cluster.brokers} broker(s), {brokers} asked for.",
            hint=f"`tidemill up --brokers {cluster.brokers}` uses it; `tidemill down --wipe` deletes it.",
        )


def end_leftovers(layout: Layout, progress: Progress) -> None:
    """End every program of this folder, recorded or not, and forget the record; for when no stack should be up."""
    for pid in program.with_state_mark(layout.state_dir):
        progress.stage(f"Ending process {pid}, left by a stack that didn't end cleanly")
        program.kill_marked(pid, layout.state_dir)
    layout.stack_file.unlink(missing_ok=True)


def delete(layout: Layout) -> None:
    """Delete topics, schemas, mails and logs.

    Raises:
        LocalError: Something can't be deleted.
    """
    for folder in layout.data_dirs:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LocalError(
                f"{folder} can't be deleted: {error}.",
                hint="Is another program using it, or does it belong to another user?",
            ) from error


def disk_bytes(layout: Layout) -> int:
    """What topics, schemas, mails and logs take on the disk; Kafka's sparse index files count for what they hold."""
    total = 0
    for folder in layout.data_dirs:
        for path in folder.rglob("*"):
            try:
                total += path.stat().st_blocks * 512
            except FileNotFoundError:
                continue  # Kafka deletes segments while we look
    return total
