"""A folder for one try, which goes with it, whatever ends it.

A lock on a file beside the folder says that its owner lives: the kernel lets go of it when the owner ends, however that
comes about. Whoever makes a folder removes those without an owner first. Works within one machine only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import ConfigError, RetryAfter

LOCK = ".lock"
DISK_SECONDS = 60.0
"""How long to wait for a disk to be emptied."""


@contextmanager
def workspace(parent: Path | None) -> Iterator[Path]:
    """An empty folder of this process's own, removed at the end.

    Args:
        parent: Where it is made; None for a folder of this user's in the temporary folder.

    Raises:
        ConfigError: The parent can't be made, or belongs to somebody else.
    """
    parent = _private(parent or Path(tempfile.gettempdir()) / f"tidemill-video-{os.getuid()}")
    sweep(parent)
    lock, descriptor = _new_lock(parent)
    folder = lock.with_suffix("")
    try:
        folder.mkdir(0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(parent: Path) -> list[Path]:
    """Remove the folders whose owners have ended without doing so; returns them."""
    removed = []
    for lock in parent.glob(f"*{LOCK}"):
        descriptor = _locked(lock)
        if descriptor is None:
            continue
        try:
            folder = lock.with_suffix("")
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            removed.append(folder)
        finally:
            os.close(descriptor)
    return removed


def check_room(folder: Path, source_bytes: int, min_free_bytes: int) -> None:
    """Refuse to begin where the disk would become full.

    Args:
        folder: Where files will be.
        source_bytes: Of the source; its results are taken to need as much again.
        min_free_bytes: To be left.

    Raises:
        RetryAfter: There is too little room now.
    """
    free = shutil.disk_usage(folder).free
    needed = 2 * source_bytes + min_free_bytes
    if free < needed:
        raise RetryAfter(
            DISK_SECONDS,
            f"The disk of {folder.parent} has {free:,} bytes free; this video needs {needed:,}.",
            hint="Empty it, set TIDEMILL_VIDEO_WORK_DIR to another one, or lower TIDEMILL_VIDEO_MIN_FREE_BYTES.",
        )


def _private(parent: Path) -> Path:
    try:
        parent.mkdir(0o700, parents=True, exist_ok=True)
        facts = parent.lstat()
    except OSError as error:
        raise ConfigError(f"The work folder {parent} can't be made: {error.strerror}.", hint=_HINT) from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise ConfigError(f"The work folder {parent} is a link or belongs to another user.", hint=_HINT)
    return parent


def _new_lock(parent: Path) -> tuple[Path, int]:
    while True:
        lock = parent / f"{os.getpid()}-{secrets.token_hex(8)}{LOCK}"
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # A sweep may take it away between these two lines.
        descriptor = _locked(lock)
        if descriptor is not None:
            return lock, descriptor


def _locked(lock: Path) -> int | None:
    """A descriptor that holds the lock of the file under this name; None where another process does, or it is gone."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == lock.stat().st_ino:
            return descriptor
    os.close(descriptor)
    return None


_HINT = "Set TIDEMILL_VIDEO_WORK_DIR to a folder of your own."
