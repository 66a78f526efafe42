"""What becomes of a slice: rows of data, or of quarantine, by partition and day. Computes only.

Every event of the slice becomes exactly one row, with all its bytes; its payload's fields beside them are for readers
that know neither Avro nor the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tidemill.contracts.schema import Record
from tidemill.decoder import WriterSchema
from tidemill.event import Event, headers_of
from tidemill.replay.archived import HEADERS_RAW, KEY_RAW
from tidemill.replay.arrow_types import arrow_type
from tidemill.replay.decoding import Decoder
from tidemill.replay.envelope import envelope_column, envelope_type
from tidemill.replay.schemas import Writers
from tidemill.replay.slices import Slice

TOMBSTONE = "_tombstone"
REASON = "_reason"
NO_DATE = "__HIVE_DEFAULT_PARTITION__"
"""Hive's name for null: a timestamp that no calendar has."""
DAY_MS = 86_400_000
_LAST_DAY = 2_932_896
"""The 31st of December 9999."""

_PLACE = ("_partition", "_offset", "_timestamp", "_key", "_schema_id")
_TEXTS = ("_id", "_root", "_cause", "_replay")
_PAIR = pa.struct([("name", pa.string()), ("value", pa.binary())])


@dataclass(frozen=True)
class Part:
    """Rows of one file."""

    kind: Literal["data", "quarantine"]
    partition: int
    date: str
    batch: Any
    """A `pyarrow.RecordBatch`, by offset."""


class Rows:
    """Makes rows of one topic's slices.

    Args:
        reader: The schema that events are read as; None for a topic whose events are kept as bytes alone.
        writers: The schemas that they were written with.
    """

    def __init__(self, reader: WriterSchema | None, writers: Writers) -> None:
        fields = []
        if reader is not None:
            assert isinstance(reader.type, Record)  # WriterSchema takes no other
            # A field of an envelope column's name would hide what makes the archive exact; its value is in the bytes.
            fields = [
                pa.field(each.name, arrow_type(each.type)) for each in reader.type.fields if each.name not in ENVELOPE
            ]
        names = [field.name for field in fields]
        self._decoder = None if reader is None else Decoder(reader, writers, names)
        self.schemas = {
            "data": pa.schema([*fields, *(pa.field(name, type_) for name, type_ in ENVELOPE.items())]),
            "quarantine": pa.schema(
                [pa.field(REASON, pa.string()), *(pa.field(name, type_) for name, type_ in ENVELOPE.items())]
            ),
        }
        self._payload = fields

    def parts(self, taken: Slice) -> Iterator[Part]:
        """The rows of a slice.

        Args:
            taken: With its messages.

        Raises:
            RegistryError: A schema is new, and the registry doesn't answer.
        """
        if not len(taken):
            return
        count = len(taken)
        if self._decoder is None:
            yield from self._split("data", taken, [])
            return
        decoded = self._decoder.decode(taken.values)
        if len(decoded.rows) == count:
            yield from self._split("data", taken, decoded.columns)
            return
        bad = sorted(decoded.faults)
        good = [row for row in range(count) if row not in decoded.faults]
        if good:
            place = {row: at for at, row in enumerate(decoded.rows)}
            # A tombstone has no place among the decoded: null in every column.
            indices = pa.array([place.get(row) for row in good], pa.int64())
            columns = [column.take(indices) for column in decoded.columns] if decoded.rows else self._nulls(len(good))
            yield from self._split("data", taken.kept(good), columns)
        if bad:
            reasons = pa.array([decoded.faults[row] for row in bad], pa.string())
            yield from self._split("quarantine", taken.kept(bad), [reasons])

    def _nulls(self, count: int) -> list[Any]:
        return [pa.nulls(count, field.type) for field in self._payload]

    def _split(self, kind: Literal["data", "quarantine"], taken: Slice, columns: list[Any]) -> Iterator[Part]:
        batch = pa.RecordBatch.from_arrays([*columns, *_envelope(taken)], schema=self.schemas[kind])
        partitions = np.asarray(taken.partitions, np.int64)
        days = np.asarray(taken.timestamps, np.int64) // DAY_MS
        days = np.where((days < 0) | (days > _LAST_DAY), -1, days)
        codes = partitions * (_LAST_DAY + 2) + days + 1
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            some = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows))
            yield Part(kind, int(partitions[rows[0]]), date_of(int(days[rows[0]])), some)


def date_of(day: int) -> str:
    """The date of a day since 1970; negative is none."""
    return NO_DATE if day < 0 else datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def _envelope(taken: Slice) -> list[Any]:
    pairs = [headers_of(message) for message in taken.messages]
    named = [dict(each) for each in pairs]
    events: list[Event[Any]] = [Event.received(None, message) for message in taken.messages]
    exact = [
        None if len(each) == len(by_name) else [{"name": name, "value": value} for name, value in each]
        for each, by_name in zip(pairs, named, strict=True)
    ]
    columns = {name: envelope_column(name, taken) for name in _PLACE}
    columns[KEY_RAW] = pa.array([None if _is_text(key) else key for key in taken.keys], pa.binary())
    columns["_value"] = pa.array(taken.values, pa.binary())
    columns[TOMBSTONE] = pa.array([value is None for value in taken.values], pa.bool_())
    columns["_headers"] = pa.array([[*each.items()] for each in named], ENVELOPE["_headers"])
    columns[HEADERS_RAW] = pa.array(exact, ENVELOPE[HEADERS_RAW])
    columns["_time"] = pa.array([*map(_moment, events)], envelope_type("_time"))
    for name in _TEXTS:
        columns[name] = pa.array([getattr(event, name[1:]) for event in events], envelope_type(name))
    return [columns[name] for name in ENVELOPE]


def _moment(event: Event[Any]) -> datetime | None:
    """When it was published; None for a time that no calendar has, which Kafka's timestamps may be."""
    try:
        return event.time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_text(key: bytes | None) -> bool:
    if key is None or key.isascii():
        return True
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


ENVELOPE: dict[str, Any] = {
    **{name: envelope_type(name) for name in (*_PLACE, "_id", "_time", *_TEXTS[1:], "_headers")},
    TOMBSTONE: pa.bool_(),
    "_value": pa.binary(),
    KEY_RAW: pa.binary(),
    HEADERS_RAW: pa.list_(_PAIR),
}
"""Columns of every file beside the payload's, with their types."""
