"""Objects as files below one folder, reached without ever following a link out of it.

Relies on POSIX `openat`: the path is walked one folder at a time, each step relative to the descriptor of the step
before and refusing symbolic links, so that nothing can be swapped between a check and the use of what was checked.
The root itself may be a link: it was named by whoever set the worker up. Must never open a device or wait for a pipe.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tidemill.errors import ForbiddenUri, ObjectMissing, ObjectTooLarge, StoreError, StoreUnavailable
from tidemill.store.location import shown

# O_PATH (Linux) needs only the right to pass through a folder, not to list it.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER
# Without O_NONBLOCK, opening a named pipe waits for somebody to write to it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.EAGAIN)


class Folder:
    """One folder of objects.

    Args:
        root: The folder. It may be missing: reading then finds nothing, and the first write makes it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: tuple[str, ...], max_bytes: int) -> bytes:
        """The bytes of one file.

        Raises:
            ObjectMissing: Nothing is there.
            ObjectTooLarge: It has more than `max_bytes`, now or while it is being read.
            ForbiddenUri: It is reached through a symbolic link, or isn't a regular file.
            StoreError: The operating system refuses or fails.
        """
        with self._errors(key), self._file(key) as (descriptor, status):
            if status.st_size > max_bytes:
                raise too_large(self._name(key), status.st_size, max_bytes)
            chunks: list[bytes] = []
            total = 0
            wanted = status.st_size + 1
            while chunk := os.read(descriptor, wanted):
                chunks.append(chunk)
                total += len(chunk)
                if total > max_bytes:
                    raise too_large(self._name(key), None, max_bytes)
                wanted = max(status.st_size + 1 - total, 65_536)
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def head(self, key: tuple[str, ...]) -> tuple[int, datetime]:
        """Size in bytes and time of the last change of one file; raises what `read` raises."""
        with self._errors(key), self._file(key) as (_, status):
            return status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)

    def create(self, key: tuple[str, ...], data: bytes, content_type: str) -> bool:
        """Write one file, all of it or nothing, unless it is there with this size already.

        Args:
            key: Folders and name.
            data: The bytes.
            content_type: Not kept: a file system has no place for it.

        Returns:
            Whether it was written.
        """
        with self._errors(key):
            folder = self._make_folders(key[:-1])
            try:
                try:
                    found = os.stat(key[-1], dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    written = _write_new(folder, key[-1], data)
                    _sync_folder(folder)
                    return written
                if not stat.S_ISREG(found.st_mode):
                    raise self._not_a_file(key, found)
                if found.st_size == len(data):
                    return False
                _write_over(folder, key[-1], data)
                _sync_folder(folder)
                return True
            finally:
                os.close(folder)

    @contextmanager
    def _file(self, key: tuple[str, ...]) -> Iterator[tuple[int, os.stat_result]]:
        if not key:
            raise ForbiddenUri(f"{shown(str(self._root))} is a folder; only regular files are read.")
        folder = os.open(self._root, _THROUGH & ~os.O_NOFOLLOW)
        try:
            for step, name in enumerate(key[:-1], start=1):
                folder = self._enter(folder, key[:step], name)
            # Looked at before it is opened: opening a device can already do something (rewind, reset).
            status = os.stat(key[-1], dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise self._not_a_file(key, status)
            descriptor = os.open(key[-1], _READ, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise self._not_a_file(key, status)
            yield descriptor, status
        finally:
            os.close(descriptor)

    def _enter(self, folder: int, key: tuple[str, ...], name: str) -> int:
        """Descriptor of a folder inside another, which is closed if that works."""
        try:
            inner = os.open(name, _THROUGH, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                raise self._not_a_file(key, status) from error
            raise ObjectMissing(f"{self._name(key)} is no folder, nothing can be in it.") from error
        os.close(folder)
        return inner

    def _make_folders(self, key: tuple[str, ...]) -> int:
        """Descriptor of a folder below the root, made if missing."""
        self._root.mkdir(parents=True, exist_ok=True)
        folder = os.open(self._root, _THROUGH & ~os.O_NOFOLLOW)
        try:
            for step, name in enumerate(key, start=1):
                try:
                    folder = self._enter(folder, key[:step], name)
                except FileNotFoundError:
                    with suppress(FileExistsError):  # another worker was faster
                        # Not synced by itself: the sync of the innermost folder, after the file is linked into it,
                        # forces the journal up to there, new parents included (ext4, XFS, Btrfs).
                        os.mkdir(name, dir_fd=folder)
                    folder = self._enter(folder, key[:step], name)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _name(self, key: tuple[str, ...]) -> str:
        return shown(str(self._root.joinpath(*key)))

    def _not_a_file(self, key: tuple[str, ...], status: os.stat_result) -> ForbiddenUri:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        hint = None
        if stat.S_ISLNK(status.st_mode):
            hint = "Links are not followed: name the file where it really is, inside an allowed prefix."
        return ForbiddenUri(f"{self._name(key)} is {kind}; only regular files are read.", hint=hint)

    @contextmanager
    def _errors(self, key: tuple[str, ...]) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"There is no file {self._name(key)}.") from error
        except OSError as error:
            # ELOOP: the name became a link between looking at it and opening it.
            if error.errno == errno.ELOOP:
                raise ForbiddenUri(f"{self._name(key)} is a symbolic link; only regular files are read.") from error
            kind = StoreUnavailable if error.errno in _PASSING else StoreError
            raise kind(f"{self._name(key)} can't be used: {os.strerror(error.errno or 0)}.") from error


def too_large(name: str, found_bytes: int | None, max_bytes: int) -> ObjectTooLarge:
    """The error for an object over the limit; `found_bytes` is None if it was cut off while being read."""
    found = f"has {found_bytes:,} bytes" if found_bytes is not None else "grew while it was read"
    return ObjectTooLarge(f"{name} {found}; at most {max_bytes:,} bytes are read.")


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _sync_folder(folder: int) -> None:
    """Make new names last: events that name them outlive a power cut, so the names must too."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(folder: int, name: str, data: bytes) -> bool:
    """Write a file that isn't there; False if somebody else made it meanwhile."""
    try:
        if _link_unnamed(folder, name, data):
            return True
    except FileExistsError:
        return False
    _write_over(folder, name, data)
    return True


def _link_unnamed(folder: int, name: str, data: bytes) -> bool:
    """Write a file that gets its name when it is complete, so that a killed process leaves nothing behind.

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
        _write_all(descriptor, data)
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
    return True


def _write_over(folder: int, name: str, data: bytes) -> None:
    """Write a file under another name beside, then rename it: readers see the old or the new one, whole."""
    beside = f".{secrets.token_hex(8)}.part"
    descriptor = os.open(
        beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
    )
    try:
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise
