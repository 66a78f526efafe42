"""An object of a bucket as a file of Python's, read by ranges."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """What `io.BufferedReader` needs of a file.

    Args:
        file: As obstore opens it; it answers each read with bytes.
    """

    def __init__(self, file: ReadableFile) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = memoryview(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
