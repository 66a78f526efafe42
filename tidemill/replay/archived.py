"""Slices of what is archived of a topic: the second source of a scan, beside `fetching`.

Takes the events' own bytes out of the archive's files, so that they are decoded as those of the topic are. Each
partition comes in order, whatever files it lies in; files that are replaced meanwhile are looked up anew.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from tidemill.errors import ArchiveError, ObjectMissing
from tidemill.replay.extras import need
from tidemill.replay.slices import Slice

if TYPE_CHECKING:
    from tidemill.replay.lake import Lake, LakeFile, State
    from tidemill.replay.query import Query
    from tidemill.replay.ranges import Range

KEY_RAW = "_key_raw"
"""The key's bytes, where they are no UTF-8; else null."""
HEADERS_RAW = "_headers_raw"
"""All headers, where one is there twice; else null, for `_headers` holds them."""
BATCH_ROWS = 8192
MOST_TRIES = 5
"""How often files may be replaced while one place is looked for."""
_PLACE = ("_partition", "_offset", "_timestamp", "_key", KEY_RAW)


@dataclass(frozen=True)
class ArchivedMessage:
    """An archived event; it answers as `confluent_kafka.Message` does."""

    of_topic: str
    of_partition: int
    at_offset: int
    timestamp_ms: int
    key_bytes: bytes | None
    value_bytes: bytes | None
    pairs: list[tuple[str, bytes | None]]

    def topic(self) -> str:
        """The full name of its topic."""
        return self.of_topic

    def partition(self) -> int:
        """Where it lay."""
        return self.of_partition

    def offset(self) -> int:
        """Where it lay."""
        return self.at_offset

    def timestamp(self) -> tuple[int, int]:
        """As Kafka's CreateTime, and milliseconds since 1970."""
        return 1, self.timestamp_ms

    def key(self) -> bytes | None:
        """Its key's bytes."""
        return self.key_bytes

    def value(self) -> bytes | None:
        """Its value's bytes; None for a tombstone."""
        return self.value_bytes

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Its headers, None where it has none."""
        return self.pairs or None

    def error(self) -> None:
        """It is an event."""
        return


class _Replaced(Exception):
    """A file isn't there any more."""


class Archived:
    """Reads ranges of a topic out of the archive.

    Args:
        lake: The archive.
        topic: The topic's full name.
        query: Keys, and the range in time; what doesn't fit is dropped.
        ranges: Offsets to read, by partition.
        values: Whether the events' values are wanted.
        messages: Whether the messages are wanted, with their headers.
    """

    def __init__(
        self, lake: Lake, topic: str, query: Query, ranges: Sequence[Range], *, values: bool, messages: bool
    ) -> None:
        self._lake, self._topic, self._query, self._ranges = lake, topic, query, ranges
        self._messages = messages
        self._columns = [*_PLACE, *(["_value"] if values or messages else [])]
        self._columns += ["_headers", HEADERS_RAW] if messages else []

    def slices(self) -> Generator[Slice, None, None]:
        """The slices, partition by partition.

        Raises:
            ArchiveError, StoreError: The archive can't be read.
        """
        if not self._ranges:
            return
        state = self._lake.state(self._topic)
        for each in self._ranges:
            position, tries = each.start, 0
            while True:
                try:
                    for found in self._partition(state, each.partition, position, each.end):
                        position, tries = found.next_offsets[each.partition], 0
                        yield found
                    break
                except _Replaced as error:
                    tries += 1
                    if tries > MOST_TRIES:
                        raise ArchiveError(
                            f"{error} of the archive is missing.", hint="`tidemill archive verify` says what else is."
                        ) from error
                    state = self._lake.state(self._topic, state)
            yield Slice(next_offsets={each.partition: each.end})

    def of_files(self, files: Sequence[LakeFile]) -> Generator[Slice, None, None]:
        """The slices of these files of one partition, in order.

        Raises:
            ArchiveError, StoreError: One of them is missing, or can't be read.
        """
        try:
            for group in _groups(files):
                yield from self._group(group, files[0].partition, group[0].start, max(each.end for each in group))
        except _Replaced as error:
            raise ArchiveError(f"{error} of the archive is missing.") from error

    def _partition(self, state: State, partition: int, start: int, end: int) -> Generator[Slice, None, None]:
        files = [
            each
            for each in state.of_partition(partition)
            if each.start < end and each.end > start and self._may_have(each.min_ms, each.max_ms)
        ]
        for group in _groups(files):
            yield from self._group(group, partition, start, end)

    def _group(self, files: Sequence[LakeFile], partition: int, start: int, end: int) -> Generator[Slice, None, None]:
        # Those that are open are closed also where the next one is gone.
        with ExitStack() as opened:
            streams = [self._batches(opened.enter_context(self._open(file)), start, end) for file in files]
            try:
                for batch in streams[0] if len(streams) == 1 else _merged(streams):
                    yield self._slice(batch, partition, start, end)
            except need("pyarrow", "reading the archive").ArrowException as error:
                names = ", ".join(file.name for file in files)
                raise ArchiveError(
                    f"The archive's file can't be read ({names}): {error}.", hint="`tidemill archive verify` says more."
                ) from error

    def _open(self, file: LakeFile) -> BinaryIO:
        store = self._lake.store
        # A file is committed a moment before it has its name.
        for name in (file.name, file.staged, file.name):
            try:
                return store.open(store.uri(name))
            except ObjectMissing:
                continue
        raise _Replaced(file.name)

    def _batches(self, file: BinaryIO, start: int, end: int) -> Iterator[Any]:
        parquet = need("pyarrow.parquet", "reading the archive").ParquetFile(file)
        groups = [
            number
            for number in range(parquet.num_row_groups)
            if self._is_wanted(parquet.metadata.row_group(number), start, end)
        ]
        if groups:
            yield from parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=self._columns)

    def _is_wanted(self, group: Any, start: int, end: int) -> bool:
        """Whether a row group may hold something, by the smallest and largest of its values."""
        for column in map(group.column, range(group.num_columns)):
            found = column.statistics
            if found is None or not found.has_min_max:
                continue
            if column.path_in_schema == "_offset" and (found.min >= end or found.max < start):
                return False
            if column.path_in_schema == "_timestamp" and not self._may_have(found.min_raw, found.max_raw):
                return False
        return True

    def _may_have(self, min_ms: int, max_ms: int) -> bool:
        first, last = self._query.start.time_ms, self._query.end.time_ms
        return (first is None or max_ms >= first) and (last is None or min_ms < last)

    def _slice(self, batch: Any, partition: int, start: int, end: int) -> Slice:
        pa, compute = need("pyarrow", "reading the archive"), need("pyarrow.compute", "reading the archive")
        # A batch holds whole stretches: what comes next lies behind its last row.
        position = batch.column("_offset")[-1].as_py() + 1
        offsets = batch.column("_offset")
        mask = compute.and_(compute.greater_equal(offsets, start), compute.less(offsets, end))
        batch = batch.filter(mask)
        read = batch.num_rows
        sized = [_keys(batch), *([batch.column("_value")] if self._has_values else [])]
        read_bytes = sum(compute.sum(compute.binary_length(column)).as_py() or 0 for column in sized)
        stamps = batch.column("_timestamp").cast(pa.int64())
        first, last, keys = self._query.start.time_ms, self._query.end.time_ms, self._query.keys
        masks = [] if first is None else [compute.greater_equal(stamps, first)]
        masks += [] if last is None else [compute.less(stamps, last)]
        if keys is not None:
            masks.append(compute.is_in(_keys(batch), pa.array([*keys], pa.binary())))
        for each in masks[1:]:
            masks[0] = compute.and_(masks[0], each)
        if masks:
            batch = batch.filter(masks[0])
        return self._made(batch, partition, read, read_bytes, min(position, end))

    @property
    def _has_values(self) -> bool:
        return "_value" in self._columns

    def _made(self, batch: Any, partition: int, read: int, read_bytes: int, position: int) -> Slice:
        pa, count = need("pyarrow", "reading the archive"), batch.num_rows
        offsets = batch.column("_offset").to_pylist()
        stamps = batch.column("_timestamp").cast(pa.int64()).to_pylist()
        keys = _keys(batch).to_pylist()
        values = batch.column("_value").to_pylist() if self._has_values else [None] * count
        messages: list[Any] = []
        if self._messages:
            messages = [
                ArchivedMessage(self._topic, partition, offset, stamp, key, value, exact or pairs or [])
                for offset, stamp, key, value, pairs, exact in zip(
                    offsets,
                    stamps,
                    keys,
                    values,
                    batch.column("_headers").to_pylist(),
                    _pairs(batch.column(HEADERS_RAW)),
                    strict=True,
                )
            ]
        return Slice(
            [partition] * count,
            offsets,
            stamps,
            keys,
            values,
            messages,
            read_bytes,
            read,
            {partition: position},
        )


def _keys(batch: Any) -> Any:
    """The keys' own bytes."""
    pa, compute = need("pyarrow", "reading the archive"), need("pyarrow.compute", "reading the archive")
    return compute.coalesce(batch.column(KEY_RAW), batch.column("_key").cast(pa.binary()))


def _pairs(column: Any) -> Iterator[list[tuple[str, bytes | None]] | None]:
    for each in column.to_pylist():
        yield None if each is None else [(pair["name"], pair["value"]) for pair in each]


def _groups(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    """Files of one partition in groups whose offsets don't lie within each other's, in order."""
    group: list[LakeFile] = []
    end = 0
    for file in sorted(files, key=lambda each: each.start):
        if group and file.start >= end:
            yield group
            group = []
        group.append(file)
        end = max(end, file.end)
    if group:
        yield group


def _merged(streams: Sequence[Iterator[Any]]) -> Iterator[Any]:
    """Batches of all streams, each in order of offsets, as one such stream."""
    pa, np = need("pyarrow", "reading the archive"), need("numpy", "reading the archive")
    heads = {place: batch for place, stream in enumerate(streams) if (batch := next(stream, None)) is not None}
    while heads:
        # Up to here all are known: each stream's next batch lies behind its head.
        bound = min(batch.column("_offset")[-1].as_py() for batch in heads.values())
        parts = []
        for place, batch in [*heads.items()]:
            count = int(np.searchsorted(batch.column("_offset").to_numpy(), bound, "right"))
            parts.append(batch.slice(0, count))
            rest = batch.slice(count) if count < batch.num_rows else next(streams[place], None)
            if rest is None:
                del heads[place]
            else:
                heads[place] = rest
        together = pa.Table.from_batches([part for part in parts if part.num_rows]).sort_by("_offset")
        yield from together.combine_chunks().to_batches()
