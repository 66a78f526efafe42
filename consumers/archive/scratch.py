"""A folder of this process's own for files until they are uploaded; those of processes that were killed are removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import ConfigError

LOCK = "lock"
YOUNG_SECONDS = 60.0
"""A folder may be without its lock for a moment, and is left alone for so long."""


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder for the time of the block.

    Args:
        folder: Where it is made; those of the dead in it are removed.

    Raises:
        ConfigError: The folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            _remove_if_dead(left)
        made = Path(tempfile.mkdtemp(dir=folder))
        # The lock is the kernel's, and ends with the process however that ends.
        descriptor = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be written: {error.strerror or error}.", hint="Set TIDEMILL_ARCHIVE_SCRATCH_DIR."
        ) from error
    try:
        yield made
    finally:
        os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)


def _remove_if_dead(left: Path) -> None:
    try:
        if time.time() - left.stat().st_mtime < YOUNG_SECONDS:
            return
        descriptor = os.open(left / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return  # not of ours, or removed meanwhile
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(descriptor)
