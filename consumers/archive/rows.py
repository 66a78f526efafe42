"""What becomes of a slice: rows of data, or of quarantine, by partition and day. Computes only.

Every event of the slice becomes exactly one row, with all its bytes; its payload's fields beside them are for readers
that know neither Avro nor the registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from tidemill.contracts.schema import Record
from tidemill.decoder import WriterSchema
from tidemill.event import CAUSE, ID, REPLAY, ROOT, TIME, Event, headers_of
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
    # Headers are asked for once: they cost more than all else.
    pairs = [headers_of(message) for message in taken.messages]
    named: list[Headers] = [dict(each) for each in pairs]
    columns = {name: envelope_column(name, taken) for name in _PLACE}
    columns[KEY_RAW] = pa.array([None if _is_text(key) else key for key in taken.keys], pa.binary())
    columns["_value"] = pa.array(taken.values, pa.binary())
    columns[TOMBSTONE] = pa.array([value is None for value in taken.values], pa.bool_())
    columns["_headers"] = _header_maps(named)
    columns[HEADERS_RAW] = pa.array(
        [
            None if len(each) == len(by_name) else [{"name": name, "value": value} for name, value in each]
            for each, by_name in zip(pairs, named, strict=True)
        ],
        ENVELOPE[HEADERS_RAW],
    )
    # What the envelope doesn't say, `Event` knows how to put in.
    ids = [
        each.get(ID) or Event.received(None, message).id.encode()
        for each, message in zip(named, taken.messages, strict=True)
    ]
    columns["_id"] = _texts(ids)
    columns["_root"] = _texts([each.get(ROOT) or id_ for each, id_ in zip(named, ids, strict=True)])
    for name, header in (("_cause", CAUSE), ("_replay", REPLAY)):
        columns[name] = _texts([_present(each, header) for each in named])
    columns["_time"] = _moments(named, taken)
    return [columns[name] for name in ENVELOPE]


Headers: TypeAlias = dict[str, bytes | None]
"""Of one event; of a name that is there twice the last."""


def _header_maps(named: Sequence[Headers]) -> Any:
    offsets = [0, *accumulate(map(len, named))]
    names = [name for each in named for name in each]
    values = [value for each in named for value in each.values()]
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(names, pa.string()), pa.array(values, pa.binary())
    )


def _texts(values: Sequence[bytes | None]) -> Any:
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in values], pa.string())


def _present(headers: Headers, name: str) -> bytes | None:
    # A header without a value is one with an empty text, as `Event` has it.
    return (headers[name] or b"") if name in headers else None


def _moments(named: Sequence[Headers], taken: Slice) -> Any:
    type_ = ENVELOPE["_time"]
    texts = [each.get(TIME) for each in named]
    try:
        if all(text is not None and text.endswith(b"Z") for text in texts):
            return pa.array(texts, pa.binary()).cast(pa.string()).cast(type_)
    except pa.ArrowInvalid:
        pass  # one of them isn't as ours are, and is looked at by itself, as all are then
    events: list[Event[Any]] = [Event.received(None, message) for message in taken.messages]
    return pa.array([*map(_moment, events)], type_)


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
    **{name: envelope_type(name) for name in (*_PLACE, "_id", "_time", "_root", "_cause", "_replay", "_headers")},
    TOMBSTONE: pa.bool_(),
    "_value": pa.binary(),
    KEY_RAW: pa.binary(),
    HEADERS_RAW: pa.list_(_PAIR),
}
"""Columns of every file beside the payload's, with their types."""
