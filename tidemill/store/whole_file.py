"""A file that appears under its name whole or not at all, and outlives a power cut once it is there.

Relies on O_TMPFILE and `/proc` of Linux where they are, so that a killed process leaves nothing behind; elsewhere on a
file beside that is renamed. Works relative to an open folder's descriptor and must never follow a link.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable

Fill = Callable[[int], None]
"""Writes the whole content to a descriptor."""

PART = ".part"
"""How the names of unfinished files end; they start with a dot."""


def write_new(folder: int, name: str, fill: Fill) -> bool:
    """Write a file that isn't there.

    Args:
        folder: Descriptor of the folder.
        name: Name in it.
        fill: Its content.

    Returns:
        Whether it was written; False if somebody else made it meanwhile.
    """
    try:
        written = _link_unnamed(folder, name, fill)
    except FileExistsError:
        return False
    if not written:
        _rename_over(folder, name, fill)
    sync_folder(folder)
    return True


def write_over(folder: int, name: str, fill: Fill) -> None:
    """Write a file that may be there: readers see the old or the new one, whole; arguments as for `write_new`."""
    _rename_over(folder, name, fill)
    sync_folder(folder)


def write_claim(folder: int, name: str, fill: Fill) -> bool:
    """Write a file only if nothing is there, on every system: `write_new` may replace what was made meanwhile.

    Returns:
        Whether it was written.
    """
    try:
        if not _link_unnamed(folder, name, fill):
            beside = _write_beside(folder, fill)
            try:
                os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            finally:
                os.unlink(beside, dir_fd=folder)
    except FileExistsError:
        return False
    sync_folder(folder)
    return True


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all bytes to a descriptor, however many the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: int) -> None:
    """Make new names in an open folder last: events that name them outlive a power cut, so the names must too."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_unnamed(folder: int, name: str, fill: Fill) -> bool:
    """Write a file that gets its name when it is complete.

    Returns:
        Whether that is possible here: it needs Linux, `/proc`, and a file system that knows O_TMPFILE.
    """
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is None:
        return False
    try:
        descriptor = os.open(".", unnamed | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return False
        raise
    try:
        fill(descriptor)
        os.fsync(descriptor)
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
    return True


def _rename_over(folder: int, name: str, fill: Fill) -> None:
    beside = _write_beside(folder, fill)
    try:
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise


def _write_beside(folder: int, fill: Fill) -> str:
    """Write a file under a name of its own; leaves nothing if that fails."""
    beside = f".{secrets.token_hex(8)}{PART}"
    descriptor = os.open(
        beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
    )
    try:
        try:
            fill(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise
    return beside
