"""A Parquet file that is written in stretches: after each of them, what is on the disk is a valid file by itself.

So an export that was killed goes on where its last stretch ended, and none of it is read or compressed again.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

from tidemill.replay.extras import need
from tidemill.replay.parquet_footer import moved

GROUP_ROWS = 131_072
GROUP_BYTES = 64_000_000
"""A row group is held in memory until it is written."""
BUFFER_BYTES = 4_000_000
_MAGIC = b"PAR1"
_AFTER_FOOTER = 8
"""Bytes of its length and of the magic."""


class ParquetWriter:
    """Parquet with zstd; a row group for each 131,072 rows or 64 MB.

    Args:
        path: The file to make, or to go on with.
        schema: The `pyarrow.Schema`.

    Raises:
        OSError, pyarrow.ArrowInvalid: The file can't be written, or what is there is no Parquet.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        self._parquet = need("pyarrow.parquet", "writing Parquet")
        self._schema = schema
        self._file = path.open("ab")
        self._footer = self._parquet.read_metadata(path) if self._file.tell() else None
        self._held: list[Any] = []
        self._rows = self._bytes = 0
        self._stretch: Any = None
        self._buffer: Any = None
        self._began = 0

    def write(self, batch: Any) -> None:
        """Append the rows of a `pyarrow.RecordBatch`."""
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def checkpoint(self) -> int:
        """Bring it onto the disk as a valid file; how many bytes that is."""
        self._end_stretch()
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Write what is left, and the footer."""
        try:
            self._end_stretch()
        finally:
            self._file.close()

    def _flush(self) -> None:
        pa = need("pyarrow", "writing Parquet")
        if self._stretch is None:
            self._began = self._file.tell()
            # Without it each page waits for Python's lock, which the threads that read hold most of the time.
            self._buffer = pa.BufferedOutputStream(pa.PythonFile(self._file, mode="w"), BUFFER_BYTES)
            self._stretch = self._parquet.ParquetWriter(
                self._buffer, self._schema, compression="zstd", compression_level=1
            )
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._held, self._rows, self._bytes = [], 0, 0
            self._stretch.write_table(table, row_group_size=GROUP_ROWS)

    def _end_stretch(self) -> None:
        if self._held or (self._stretch is None and self._footer is None):
            self._flush()
        if self._stretch is None:
            return
        self._stretch.close()
        footer = self._stretch.writer.metadata
        self._buffer.detach()
        self._stretch = self._buffer = None
        if self._footer is None:
            self._footer = footer
            return
        self._footer.append_row_groups(self._moved(footer))
        self._file.write(_as_file(self._footer)[len(_MAGIC) :])

    def _moved(self, footer: Any) -> Any:
        """What pyarrow counted from the beginning of this stretch, counted from that of the file."""
        form = _as_file(footer)
        there = moved(form[len(_MAGIC) : -_AFTER_FOOTER], self._began)
        return self._parquet.read_metadata(BytesIO(_MAGIC + there + len(there).to_bytes(4, "little") + _MAGIC))


def _as_file(footer: Any) -> bytes:
    """A footer as pyarrow writes it into a file of its own: magic, footer, length, magic."""
    stream = BytesIO()
    footer.write_metadata_file(stream)
    return stream.getvalue()
