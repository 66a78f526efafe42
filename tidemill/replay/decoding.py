"""Slices to Arrow: values of any mixture of schemas become rows of one, or are put aside with offset and reason.

The fast decoder tries first; where it doubts, the slice is halved until the doubtful events are alone, and the exact
decoder has the last word about these. Every value ends up as a row, as garbage or as a tombstone: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError
from tidemill.replay.exact import ExactDecoder
from tidemill.replay.extras import need
from tidemill.replay.fast import FastDecoder, is_fast
from tidemill.replay.schemas import Writers, schema_id_of
from tidemill.replay.sizes import Doubt
from tidemill.replay.slices import prefixes_of

FEW = 64
"""So many doubtful events are read one by one, instead of looking for the one among them."""


@dataclass
class Decoded:
    """What became of a slice's values."""

    columns: list[Any]
    """Arrow arrays of the wanted fields, one value for each of `rows`."""
    rows: list[int]
    """Which values they are, ascending."""
    faults: dict[int, str]
    """Why a value can't be read."""
    tombstones: int


Part: TypeAlias = tuple[list[Any], Sequence[int]]
"""Columns, and which rows are in them."""


class Decoder:
    """Decodes the values of one topic.

    Args:
        reader: The schema that all are read as.
        writers: The schemas that they were written with.
        columns: The fields that are wanted.
        fast: Whether the fast decoder may be used where it can.
    """

    def __init__(self, reader: WriterSchema, writers: Writers, columns: Sequence[str], *, fast: bool = True) -> None:
        self._reader = reader
        self._writers = writers
        self._names = columns
        self._fast_allowed = fast
        self._decoders: dict[bytes, tuple[FastDecoder | None, ExactDecoder]] = {}

    def decode(self, values: Sequence[bytes | None], prefixes: Sequence[bytes] | None = None) -> Decoded:
        """The columns of these values.

        Args:
            values: As they came; None for a tombstone.
            prefixes: Their first bytes, where they are known already.

        Raises:
            RegistryError: A schema is new, and the registry doesn't answer.
        """
        groups, tombstones = _groups(values, prefixes_of(values) if prefixes is None else prefixes)
        parts: list[Part] = []
        faults: dict[int, str] = {}
        for prefix, rows in groups.items():
            if len(rows) == len(values):
                group: Sequence[bytes] = values  # type: ignore[assignment]  # a tombstone is in no group
            else:
                group = [values[row] for row in rows]  # type: ignore[misc]
            try:
                fast, exact = self._of(prefix)
            except DecodeError as error:
                faults |= dict.fromkeys(rows, error.message)
            else:
                parts += _decode(fast, exact, group, rows, faults)
        columns, taken = _together(parts, len(self._names), len(groups) > 1)
        return Decoded(columns, taken, faults, tombstones)

    def _of(self, prefix: bytes) -> tuple[FastDecoder | None, ExactDecoder]:
        found = self._decoders.get(prefix)
        if found is None:
            writer = self._writers.of(prefix)
            exact = ExactDecoder(self._reader, writer, self._names)
            fast = None
            reader_type, writer_type = self._reader.type, writer.type
            if self._fast_allowed and is_fast(reader_type, writer_type):
                fast = FastDecoder(reader_type, writer_type, self._names)  # type: ignore[arg-type]  # both are records
            found = self._decoders[prefix] = (fast, exact)
        return found

    def is_fast(self, prefix: bytes) -> bool:
        """Whether values with this prefix are read by the fast decoder."""
        try:
            return self._of(prefix)[0] is not None
        except DecodeError:
            return False


def _groups(values: Sequence[bytes | None], prefixes: Sequence[bytes]) -> tuple[dict[bytes, Sequence[int]], int]:
    """Rows by the first bytes of their values, and how many have no value."""
    kinds = set(prefixes)
    if len(kinds) == 1 and (prefix := prefixes[0]):
        return {prefix: range(len(values))}, 0
    groups: dict[bytes, list[int]] = {}
    tombstones = 0
    for row, prefix in enumerate(prefixes):
        if values[row] is None:
            tombstones += 1
        else:
            groups.setdefault(prefix, []).append(row)
    return {**groups}, tombstones


def _decode(
    fast: FastDecoder | None, exact: ExactDecoder, values: Sequence[bytes], rows: Sequence[int], faults: dict[int, str]
) -> list[Part]:
    if fast is not None:
        try:
            return [(fast.decode(values), rows)]
        except Doubt:
            if len(values) > FEW:
                middle = len(values) // 2
                return [
                    *_decode(fast, exact, values[:middle], rows[:middle], faults),
                    *_decode(fast, exact, values[middle:], rows[middle:], faults),
                ]
    columns, good, bad = exact.decode(values)
    faults |= {rows[place]: why for place, why in bad.items()}
    return [(columns, [rows[place] for place in good])] if good else []


def _together(parts: list[Part], width: int, is_mixed: bool) -> tuple[list[Any], list[int]]:
    """One part of several, in the order of the rows."""
    if len(parts) == 1:
        return parts[0][0], [*parts[0][1]]
    rows = [row for _, some in parts for row in some]
    pa = need("pyarrow", "decoding")
    if not parts:
        return [], []
    columns = [pa.concat_arrays([part[place] for part, _ in parts]) for place in range(width)]
    if is_mixed:
        order = sorted(range(len(rows)), key=rows.__getitem__)
        indices = pa.array(order, pa.int64())
        return [column.take(indices) for column in columns], [rows[place] for place in order]
    return columns, rows


def schema_ids(prefixes: Sequence[bytes]) -> Any:
    """The schema id that each prefix names, 0 where it names none, as an Arrow array."""
    pa = need("pyarrow", "decoding")
    known = {prefix: schema_id_of(prefix) for prefix in {*prefixes}}
    if len(known) == 1:
        return pa.repeat(pa.scalar(*known.values(), pa.int64()), len(prefixes))
    return pa.array([known[prefix] for prefix in prefixes], pa.int64())
