"""A folder for the files of one report in the making, which is gone when the report is made, or has failed.

A killed process can't tidy up. So each folder is held by a lock that ends with its process, and whoever makes a folder
first removes those that nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"


@contextmanager
def scratch_folder(above: Path | None = None) -> Iterator[Path]:
    """A new folder, removed at the end of the block.

    Args:
        above: Where such folders are; default: below the system's folder for temporary files, one per user.
    """
    above = above or Path(tempfile.gettempdir(), f"tidemill-reports-{os.getuid()}")
    above.mkdir(mode=0o700, exist_ok=True)
    if above.is_symlink() or above.stat().st_uid != os.getuid():
        raise PermissionError(f"{above} belongs to somebody else")
    remove_abandoned(above)
    folder = Path(tempfile.mkdtemp(dir=above))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(above: Path) -> int:
    """Remove the folders whose process has ended.

    Args:
        above: Where they are.

    Returns:
        How many there were.
    """
    removed = 0
    for folder in above.iterdir():
        try:
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        except (FileNotFoundError, NotADirectoryError, BlockingIOError):
            continue  # it is just being made or removed, or somebody works in it
    return removed
