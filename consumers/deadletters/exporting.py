"""Writes letters to a file: what the index knows, and of each the payload, decoded, and its traceback.

Rows are written as they are read; the file has its name only when it is complete.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from consumers.deadletters.fetching import Fetching
from consumers.deadletters.letter import own_headers, read_letter
from consumers.deadletters.listing import moment
from consumers.deadletters.payloads import Payloads
from consumers.deadletters.plain_text import decoded
from consumers.deadletters.selection import Selection, place_text, places
from tidemill.errors import ConfigError, DeadLetterError, TidemillError
from tidemill.event import headers_of
from tidemill.runtime import deadletter

if TYPE_CHECKING:
    from confluent_kafka import Message

    from consumers.deadletters.index import Index
    from tidemill.config import Settings

BATCH_ROWS = 1_000
FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_TEXT = ("id", "group", "stream", "handler", "error", "message", "trace", "event_id", "type", "topic", "key")
_NUMBERS = ("partition", "offset", "attempts", "redrives", "size_bytes")


class _Writer(Protocol):
    def write(self, rows: list[dict[str, Any]]) -> None: ...
    def close(self) -> None: ...


def format_of(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        ConfigError: It asks for none that there is.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ConfigError(f"{path.name!r} doesn't say which format is meant.", hint="Name it *.ndjson or *.parquet.")
    return found


def export(
    settings: Settings,
    index: Index,
    selection: Selection,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Write the letters of a selection.

    Args:
        settings: Addresses, namespace.
        index: Which letters there are.
        selection: Which of them.
        path: The file; one of this name is replaced.
        progress: Told now and then how many are written, and how many there are in all.

    Returns:
        How many were written, and how many their topics held no more.

    Raises:
        ConfigError: The format isn't known, or what it needs isn't installed.
        DeadLetterError: The file can't be written.
        BrokerError: The letters can't be read.
    """
    format_ = format_of(path)
    with index.database.reading() as connection:
        chosen = places(connection, selection)
    total = sum(map(len, chosen.values()))
    partial = path.with_name(path.name + ".partial")
    written = 0
    try:
        with closing(Fetching(settings)) as fetching, closing(Payloads(settings)) as payloads:
            writer: _Writer = _Parquet(partial) if format_ == "parquet" else _Ndjson(partial)
            try:
                for rows in _rows(settings, fetching, payloads, chosen):
                    writer.write(rows)
                    written += len(rows)
                    if progress is not None:
                        progress(written, total)
            finally:
                writer.close()
        partial.replace(path)
    except OSError as error:
        raise DeadLetterError(f"{path} can't be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return written, fetching.missing


def _rows(settings: Settings, fetching: Fetching, payloads: Payloads, chosen: Any) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size_bytes = 0
    for (topic, partition), offsets in sorted(chosen.items()):
        for message in fetching.letters(topic, partition, offsets):
            rows.append(_row(settings, payloads, message))
            size_bytes += len(message)
            if len(rows) >= BATCH_ROWS or size_bytes > 8_000_000:
                yield rows
                rows, size_bytes = [], 0
    if rows:
        yield rows


def _row(settings: Settings, payloads: Payloads, message: Message) -> dict[str, Any]:
    letter = read_letter(message, settings.namespace)
    headers = dict(headers_of(message))
    value = message.value()
    payload, fault = None, None
    try:
        payload = json.dumps(payloads.as_written(value), ensure_ascii=False)
    except TidemillError as error:
        fault = error.message
    return {
        "id": place_text(letter.topic, letter.partition, letter.offset),
        "group": letter.group.id,
        "stream": letter.stream,
        "handler": letter.handler,
        "error": letter.error,
        "message": decoded(headers.get(deadletter.MESSAGE)),
        "trace": decoded(headers.get(deadletter.TRACE)),
        "died": moment(letter.died_ms),
        "event_id": letter.event_id,
        "type": letter.type,
        "topic": letter.source_topic,
        "partition": letter.source_partition,
        "offset": letter.source_offset,
        "key": letter.key,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "size_bytes": letter.size_bytes,
        "headers": json.dumps({name: decoded(each) for name, each in own_headers(message)}, ensure_ascii=False),
        "payload": payload,
        "payload_fault": fault,
        "value": value,
    }


class _Ndjson:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            value = row.pop("value")
            line = {
                **row,
                "died": row["died"].isoformat(),
                "headers": json.loads(row["headers"]),
                "payload": None if row["payload"] is None else json.loads(row["payload"]),
                "value_base64": None if value is None else base64.b64encode(value).decode(),
            }
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ConfigError(
                f"Parquet takes {error.name}, which isn't installed.", hint="pip install 'tidemill[replay]'"
            ) from error
        self._arrow = pyarrow
        named = {name: pyarrow.string() for name in _TEXT} | {name: pyarrow.int64() for name in _NUMBERS}
        named |= {name: pyarrow.string() for name in ("headers", "payload", "payload_fault")}
        named |= {"died": pyarrow.timestamp("ms", "UTC"), "value": pyarrow.binary()}
        self._schema = pyarrow.schema(list(named.items()))
        self._writer = pyarrow.parquet.ParquetWriter(str(path), self._schema, compression="zstd")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_batch(self._arrow.RecordBatch.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
