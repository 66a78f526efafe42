"""Writers of an export, one for each file format: batches in, a valid file out, in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tidemill.replay.arrow_types import as_json
from tidemill.replay.extras import need
from tidemill.replay.json_rows import json_rows

GROUP_ROWS = 131_072
GROUP_BYTES = 64_000_000
"""A row group is held in memory until it is written."""
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

    def close(self) -> None:
        """Write what is left, and whatever the format has at its end."""


class ParquetWriter:
    """Parquet with zstd; a row group for each 131,072 rows or 64 MB.

    Args:
        path: The file to make.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        parquet = need("pyarrow.parquet", "writing Parquet")
        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._held: list[Any] = []
        self._rows = self._bytes = 0

    def write(self, batch: Any) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        if self._held:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        table = need("pyarrow", "writing Parquet").Table.from_batches(self._held, self._schema)
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._held, self._rows, self._bytes = [], 0, 0


class ArrowWriter:
    """Arrow's IPC file, zstd within; `pyarrow.ipc.open_file`, `polars.read_ipc`.

    Args:
        path: The file to make.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        ipc = need("pyarrow.ipc", "writing Arrow files")
        self._writer = ipc.new_file(str(path), schema, options=ipc.IpcWriteOptions(compression="zstd"))

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class CsvWriter:
    """CSV with a heading; lists, maps and records as JSON text, bytes in base64.

    Args:
        path: The file to make, or to go on with.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path, schema: Any) -> None:
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
        self._stream = path.open("ab")
        options = csv.WriteOptions(include_header=self._stream.tell() == 0)
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

    def close(self) -> None:
        self._writer.close()
        self._stream.close()


class NdjsonWriter:
    """A JSON object on each line.

    Args:
        path: The file to make, or to go on with.
        schema: The `pyarrow.Schema`.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        self._stream = path.open("a", encoding="utf-8", newline="\n")

    def write(self, batch: Any) -> None:
        self._stream.writelines(f"{line}\n" for line in json_rows(batch))

    def close(self) -> None:
        self._stream.close()


WRITERS: dict[str, type[ParquetWriter | ArrowWriter | CsvWriter | NdjsonWriter]] = {
    "parquet": ParquetWriter,
    "arrow": ArrowWriter,
    "csv": CsvWriter,
    "ndjson": NdjsonWriter,
}


def make_writer(format_: str, path: Path, schema: Any, *, before: Path | None) -> Writer:
    """A writer for a file.

    Args:
        format_: One of `WRITERS`.
        path: The file to make.
        schema: The `pyarrow.Schema`.
        before: A file of the same format and schema whose rows come first.
    """
    path.unlink(missing_ok=True)
    if before is not None and format_ in ("csv", "ndjson"):
        shutil.copyfile(before, path)
    writer = WRITERS[format_](path, schema)
    if before is not None and format_ in ("parquet", "arrow"):
        for batch in _batches(format_, before):
            writer.write(batch)
    return writer


def schema_of(format_: str, path: Path) -> Any | None:
    """The `pyarrow.Schema` of a file, where its format keeps one.

    Raises:
        pyarrow.ArrowInvalid, OSError: It is no such file.
    """
    if format_ == "parquet":
        return need("pyarrow.parquet", "reading Parquet").read_schema(path)
    if format_ == "arrow":
        with need("pyarrow.ipc", "reading Arrow files").open_file(str(path)) as reader:
            return reader.schema
    return None


def _batches(format_: str, path: Path) -> Iterator[Any]:
    if format_ == "parquet":
        with need("pyarrow.parquet", "reading Parquet").ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=GROUP_ROWS)
        return
    with need("pyarrow.ipc", "reading Arrow files").open_file(str(path)) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = as_json(value)
    return text[1:-1] if isinstance(value, bytes) else text
