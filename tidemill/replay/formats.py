"""Writers of an export, one for each file format: batches in, a valid file out, in bounded memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from tidemill.json_values import as_json
from tidemill.replay.extras import need
from tidemill.replay.json_rows import json_rows
from tidemill.replay.parquet_file import ParquetWriter

ARROW_HEAD_BYTES = 8
"""The magic and its padding, before the stream (Arrow columnar format, "IPC File Format")."""
ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".feather": "arrow",
}


class Writer(Protocol):
    """Writes one file; not usable after `close`."""

    def write(self, batch: Any) -> None:
        """Append the rows of a `pyarrow.RecordBatch`."""

    def checkpoint(self) -> int:
        """Bring all of it onto the disk; how many bytes of the file these are, by which it can be gone on with."""

    def close(self) -> None:
        """Write what is left, and whatever the format has at its end."""


class ArrowWriter:
    """Arrow's IPC file, zstd within; `pyarrow.ipc.open_file`, `polars.read_ipc`.

    Args:
        path: The file to make.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        ipc = need("pyarrow.ipc", "writing Arrow files")
        self._file = path.open("wb")
        self._writer = ipc.new_file(self._file, schema, options=ipc.IpcWriteOptions(compression="zstd"))

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)

    def checkpoint(self) -> int:
        return _synced(self._file)

    def close(self) -> None:
        try:
            self._writer.close()
        finally:
            self._file.close()


class CsvWriter:
    """CSV with a heading; lists, maps and records as JSON text, bytes in base64.

    Args:
        path: The file to make or to go on with, or a stream, which stays open.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path | BinaryIO, schema: Any) -> None:
        csv, pa = need("pyarrow.csv", "writing CSV"), need("pyarrow", "writing CSV")
        types = pa.types
        self._as_text = [
            types.is_nested(field.type) or types.is_binary(field.type) or types.is_fixed_size_binary(field.type)
            for field in schema
        ]
        fields = [
            pa.field(field.name, pa.string()) if text else field
            for field, text in zip(schema, self._as_text, strict=True)
        ]
        self._schema = pa.schema(fields)
        # A writer of pyarrow's on a path would empty the file.
        self._file = path.open("ab") if isinstance(path, Path) else None
        self._stream: BinaryIO = self._file or path  # type: ignore[assignment]  # a file of its own, or the stream
        options = csv.WriteOptions(include_header=self._file is None or self._file.tell() == 0)
        self._writer = csv.CSVWriter(self._stream, self._schema, write_options=options)

    def write(self, batch: Any) -> None:
        pa = need("pyarrow", "writing CSV")
        columns = [
            pa.array([_cell(value) for value in column.to_pylist(maps_as_pydicts="lossy")], pa.string())
            if text
            else column
            for column, text in zip(batch.columns, self._as_text, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def checkpoint(self) -> int:
        return _synced(self._stream)

    def close(self) -> None:
        self._writer.close()
        if self._file is not None:
            self._file.close()


class NdjsonWriter:
    """A JSON object on each line.

    Args:
        path: The file to make or to go on with, or a stream, which stays open.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path | BinaryIO, schema: Any) -> None:
        self._file = path.open("ab") if isinstance(path, Path) else None
        self._stream: BinaryIO = self._file or path  # type: ignore[assignment]  # a file of its own, or the stream

    def write(self, batch: Any) -> None:
        self._stream.writelines(f"{line}\n".encode() for line in json_rows(batch))

    def checkpoint(self) -> int:
        return _synced(self._stream)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


WRITERS: dict[str, type[ParquetWriter | ArrowWriter | CsvWriter | NdjsonWriter]] = {
    "parquet": ParquetWriter,
    "arrow": ArrowWriter,
    "csv": CsvWriter,
    "ndjson": NdjsonWriter,
}


def make_writer(format_: str, path: Path, schema: Any, *, before: Path | None = None, size_bytes: int = 0) -> Writer:
    """A writer that makes a file.

    Args:
        format_: One of `WRITERS`.
        path: The file to make.
        schema: The `pyarrow.Schema`.
        before: What a writer of the same format and schema left, perhaps at `path`: its rows come first.
        size_bytes: How much of `before` counts.
    """
    if before is None:
        path.unlink(missing_ok=True)
    else:
        if before != path:
            shutil.copyfile(before, path)
        os.truncate(path, size_bytes)
    if before is None or format_ != "arrow":
        return WRITERS[format_](path, schema)
    # A file of Arrow's can't be gone on with: another one, with the same rows, takes its place.
    fresh = path.with_name(path.name + ".fresh")
    writer = ArrowWriter(fresh, schema)
    for batch in _arrow_batches(path):
        writer.write(batch)
    writer.checkpoint()
    fresh.replace(path)
    return writer


def schema_of(format_: str, path: Path) -> Any | None:
    """The `pyarrow.Schema` of a file, where its format keeps one; of Arrow's it needn't have been closed.

    Raises:
        pyarrow.ArrowInvalid, OSError: It is no such file.
    """
    if format_ == "parquet":
        return need("pyarrow.parquet", "reading Parquet").read_schema(path)
    if format_ == "arrow":
        with _arrow_stream(path) as reader:
            return reader.schema
    return None


def _arrow_batches(path: Path) -> Iterator[Any]:
    with _arrow_stream(path) as reader:
        yield from reader


@contextmanager
def _arrow_stream(path: Path) -> Iterator[Any]:
    """The stream within a file of Arrow's, which is there before the file has its end."""
    with path.open("rb") as file:
        file.seek(ARROW_HEAD_BYTES)
        with need("pyarrow.ipc", "reading Arrow files").open_stream(file) as reader:
            yield reader


def _synced(stream: BinaryIO) -> int:
    stream.flush()
    os.fsync(stream.fileno())
    return stream.tell()


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = as_json(value)
    return text[1:-1] if isinstance(value, bytes) else text
