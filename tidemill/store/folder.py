"""Objects as files below one folder, reached without ever following a link out of it.

Relies on POSIX `openat`: the path is walked one folder at a time, each step relative to the descriptor of the step
before and refusing symbolic links, so that nothing can be swapped between a check and the use of what was checked.
The root itself may be a link: it was named by whoever set the worker up. Must never open a device or wait for a pipe.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from tidemill.errors import ForbiddenUri, ObjectMissing, ObjectTooLarge, StoreError, StoreUnavailable
from tidemill.store.location import shown
from tidemill.store.whole_file import PART, Fill, sync_folder, write_all, write_claim, write_new, write_over

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
_CHUNK_BYTES = 1024 * 1024
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

    def chunks(self, key: tuple[str, ...], max_bytes: int, start: int = 0) -> Iterator[bytes]:
        """The bytes of one file from `start` on, a megabyte at a time; raises what `read` raises, while it is read."""
        with self._errors(key), self._file(key) as (descriptor, status):
            if status.st_size > max_bytes:
                raise too_large(self._name(key), status.st_size, max_bytes)
            total = os.lseek(descriptor, start, os.SEEK_SET)
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                total += len(chunk)
                if total > max_bytes:
                    raise too_large(self._name(key), None, max_bytes)
                yield chunk

    def create(self, key: tuple[str, ...], data: bytes, content_type: str) -> bool:
        """Write one file, all of it or nothing, unless it is there with this size already.

        Args:
            key: Folders and name.
            data: The bytes.
            content_type: Not kept: a file system has no place for it.

        Returns:
            Whether it was written.
        """
        return self._write(key, len(data), lambda descriptor: write_all(descriptor, data))

    def put(self, key: tuple[str, ...], file: BinaryIO, size_bytes: int, content_type: str) -> bool:
        """Write one file as `create` does, from an open file that has so many bytes."""

        def copy(descriptor: int) -> None:
            file.seek(0)
            while chunk := file.read(_CHUNK_BYTES):
                write_all(descriptor, chunk)

        return self._write(key, size_bytes, copy)

    def claim(self, key: tuple[str, ...], data: bytes) -> bool:
        """Write one file only if nothing is there; whether it was written. Raises what `create` raises."""
        with self._errors(key):
            folder = self._make_folders(key[:-1])
            try:
                return write_claim(folder, key[-1], lambda descriptor: write_all(descriptor, data))
            finally:
                os.close(folder)

    def open(self, key: tuple[str, ...]) -> BinaryIO:
        """One file to read in; raises what `read` raises."""
        with self._errors(key), self._file(key) as (descriptor, _):
            return os.fdopen(os.dup(descriptor), "rb")

    def move(self, key: tuple[str, ...], to: tuple[str, ...]) -> None:
        """Give one file another name, in one step; raises what `delete` raises, and ObjectMissing."""
        with self._errors(key):
            old = self._parent(key)
            try:
                self._status(old, key)
                new = self._make_folders(to[:-1])
                try:
                    os.rename(key[-1], to[-1], src_dir_fd=old, dst_dir_fd=new)
                    sync_folder(new)
                    sync_folder(old)
                finally:
                    os.close(new)
            finally:
                os.close(old)

    def walk(self, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, datetime]]:
        """Key, size in bytes and time of the last change of each regular file below a folder, in order of names.

        Links are left out, and so is what isn't finished or vanishes meanwhile. A folder that isn't there is empty.

        Raises:
            ForbiddenUri: The folder is reached through a symbolic link.
            StoreError: The operating system refuses or fails.
        """
        try:
            with self._errors(key):
                folder = self._parent((*key, ""))
        except ObjectMissing:
            return
        try:
            yield from self._walk(folder, key)
        finally:
            os.close(folder)

    def delete(self, key: tuple[str, ...]) -> bool:
        """Remove one file; its folders stay, for somebody may be about to write into them.

        Returns:
            Whether it was there.

        Raises:
            ForbiddenUri: It is reached through a symbolic link, or isn't a regular file.
            StoreError: The operating system refuses or fails.
        """
        try:
            with self._errors(key):
                folder = self._parent(key)
                try:
                    self._status(folder, key)
                    os.unlink(key[-1], dir_fd=folder)
                finally:
                    os.close(folder)
        except ObjectMissing:
            return False
        return True

    def link(self, key: tuple[str, ...], lasting: timedelta) -> str | None:
        """None: a file has no URL that others could use."""
        return None

    def _write(self, key: tuple[str, ...], size_bytes: int, fill: Fill) -> bool:
        with self._errors(key):
            folder = self._make_folders(key[:-1])
            try:
                try:
                    found = self._status(folder, key)
                except FileNotFoundError:
                    return write_new(folder, key[-1], fill)
                if found.st_size == size_bytes:
                    return False
                write_over(folder, key[-1], fill)
                return True
            finally:
                os.close(folder)

    def _walk(self, folder: int, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, datetime]]:
        with self._errors(key):
            listed = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=folder)
            try:
                with os.scandir(listed) as entries:
                    names = sorted(entry.name for entry in entries)
            finally:
                os.close(listed)
        for name in names:
            inner = (*key, name)
            # What vanishes or is swapped for a link between two steps is left out.
            with suppress(ObjectMissing), self._errors(inner), suppress(NotADirectoryError):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and not (name.startswith(".") and name.endswith(PART)):
                    yield inner, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)
                elif stat.S_ISDIR(status.st_mode):
                    below = os.open(name, _THROUGH, dir_fd=folder)
                    try:
                        yield from self._walk(below, inner)
                    finally:
                        os.close(below)

    def _parent(self, key: tuple[str, ...]) -> int:
        """Descriptor of the folder that a file is in."""
        folder = os.open(self._root, _THROUGH & ~os.O_NOFOLLOW)
        try:
            for step, name in enumerate(key[:-1], start=1):
                folder = self._enter(folder, key[:step], name)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _status(self, folder: int, key: tuple[str, ...]) -> os.stat_result:
        """What is known of a regular file in an open folder."""
        status = os.stat(key[-1], dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise self._not_a_file(key, status)
        return status

    @contextmanager
    def _file(self, key: tuple[str, ...]) -> Iterator[tuple[int, os.stat_result]]:
        if not key:
            raise ForbiddenUri(f"{shown(str(self._root))} is a folder; only regular files are read.")
        folder = self._parent(key)
        try:
            # Looked at before it is opened: opening a device can already do something (rewind, reset).
            self._status(folder, key)
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
