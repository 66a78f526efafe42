"""An upload before all of it is there: a file without a name on a disk, hashed while it is written.

Its name in the store is made from its content, so it can't go there before its last byte; and a bucket would keep what
a cut-off upload leaves behind, where a file without a name is gone with the process. Blocks: call it in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from producers.gateway.errors import Problem
from producers.gateway.uploads.media_type import HEAD_BYTES, MediaType, described, media_type_of
from producers.gateway.uploads.settings import UploadSettings

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """One file on its way.

    Args:
        folder: Where it is until it goes to the store.
        settings: Media types and sizes that are taken.
        announced_bytes: Its size, if the client has said it; refused at once where it doesn't fit.

    Raises:
        Problem: It is announced larger than any file that is taken, or the disk is full.
    """

    def __init__(self, folder: Path, settings: UploadSettings, announced_bytes: int | None = None) -> None:
        self._settings = settings
        self._announced_bytes = announced_bytes
        if announced_bytes is not None and announced_bytes > settings.most_bytes:
            raise too_large(settings.most_bytes, None)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._check_room(announced_bytes or 0)
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._sha256 = hashlib.sha256()
        self._head = b""
        self._most_bytes = settings.most_bytes
        self._found: MediaType | None = None
        self.size_bytes = 0

    @property
    def media_type(self) -> MediaType:
        """What it is by its bytes; once `finish` has returned."""
        assert self._found is not None
        return self._found

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been written, 64 lowercase hex digits."""
        return self._sha256.hexdigest()

    @property
    def file(self) -> BinaryIO:
        """The file, to be read from its beginning."""
        return self._file

    def write(self, pieces: Iterable[bytes]) -> None:
        """Take the next bytes.

        Raises:
            Problem: Too many, or the first ones are those of a media type that isn't taken.
        """
        for piece in pieces:
            self.size_bytes += len(piece)
            if self._found is None:
                self._look(piece)
            if self.size_bytes > self._most_bytes:
                raise too_large(self._most_bytes, self._found)
            self._sha256.update(piece)
            self._store(piece)
        self._check_room(0)

    def finish(self) -> None:
        """All of it is there.

        Raises:
            Problem: It is empty, or of a media type that isn't taken.
        """
        if not self.size_bytes:
            raise Problem("malformed", "The file is empty (0 bytes).", hint="Send the file itself as the body.")
        if self._found is None:
            self._decide()
        try:
            self._file.flush()
        except OSError as error:
            raise _failed(error) from error

    def close(self) -> None:
        """Give it up, or let it go after it was stored: nothing of it is left on the disk."""
        # What is still in its buffer may not fit on the disk, and isn't wanted any more.
        with suppress(OSError):
            self._file.close()

    def _store(self, piece: bytes) -> None:
        try:
            self._file.write(piece)
        except OSError as error:
            raise _failed(error) from error

    def _look(self, piece: bytes) -> None:
        self._head += piece[: HEAD_BYTES - len(self._head)]
        if len(self._head) == HEAD_BYTES:
            self._decide()

    def _decide(self) -> None:
        found = media_type_of(self._head)
        most = None if found is None else self._settings.most_bytes_of(found)
        if found is None or most is None:
            taken = ", ".join(sorted(self._settings.max_bytes)) or "nothing at all"
            what = described(self._head) if found is None else found.name
            raise Problem("media-type", f"The file is {what}; taken are {taken}.", hint="Send one of these.")
        self._found, self._most_bytes = found, most
        if self._announced_bytes is not None and self._announced_bytes > most:
            raise too_large(most, found)

    def _check_room(self, more_bytes: int) -> None:
        if shutil.disk_usage(self._folder).free - more_bytes < self._settings.min_free_bytes:
            raise _no_room()


def stored_name(sha256: str, media_type: MediaType) -> str:
    """The name of an upload below the store: made from its content alone, so that the same file has the same name.

    Args:
        sha256: 64 lowercase hex digits.
        media_type: What it is.
    """
    return f"uploads/{sha256[:2]}/{sha256}.{media_type.extension}"


def too_large(most: int, media_type: MediaType | None) -> Problem:
    """The answer to a file that is too large.

    Args:
        most: The most bytes that are taken.
        media_type: Of the file; None where it isn't known yet.
    """
    kind = "any file" if media_type is None else f"a file of type {media_type.name}"
    return Problem("too-large", f"The file is too large: {kind} may have at most {most:,} bytes.", max_bytes=most)


def _no_room() -> Problem:
    return Problem(
        "busy", "The gateway has no room for this upload.", hint="Send it again later.", retry_after_seconds=60
    )


def _failed(error: OSError) -> Problem:
    return _no_room() if error.errno in _FULL else Problem("internal", "The upload could not be kept.")
