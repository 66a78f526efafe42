"""`scan`: a topic, or a part of it, as a table. Nothing is read before the table is asked for.

It ends where the topic ended when reading began, joins no consumer group, commits nothing, and keeps memory bounded
unless the whole table is asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.registry import Registry
from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError, SchemaNotRegistered
from tidemill.event import Event
from tidemill.replay.decoding import Decoder
from tidemill.replay.exact import record_reader
from tidemill.replay.extras import need
from tidemill.replay.layout import Layout, make_layout, names_only_envelope
from tidemill.replay.moments import When
from tidemill.replay.query import SLACK, OnError, Query, make_query
from tidemill.replay.ranges import Gap, Plan, make_plan
from tidemill.replay.running import Run
from tidemill.replay.schemas import Writers, event_class, reader_schema
from tidemill.replay.seam import FromArchive, archived_part, join_archive
from tidemill.replay.tally import Quarantined, Tally

if TYPE_CHECKING:
    from tidemill.replay.counting import By

SAMPLE_EVENTS = 8192
FETCH_SECONDS = 1.5e-6
"""What fetching an event costs on a machine of this decade; decoding is measured."""


@dataclass(frozen=True)
class Estimate:
    """About how much a scan will read; compaction and transactions leave fewer events than offsets."""

    events: int
    bytes: int
    """Of keys and values, uncompressed."""
    seconds: float


def scan(
    topic: str,
    start: When = None,
    end: When = None,
    *,
    keys: Iterable[str | bytes] | str | bytes | None = None,
    columns: Iterable[str] | str | None = None,
    where: Any = None,
    partitions: Iterable[int] | None = None,
    on_error: OnError = "quarantine",
    slack: timedelta = SLACK,
    prune: bool = True,
    fast: bool = True,
    archive: FromArchive = False,
    settings: Settings | None = None,
) -> Scan:
    """A topic's events as a table.

        scan("image.processed", "yesterday", columns=["source", "_timestamp"]).to_pandas()

    Args:
        topic: Its name, without the namespace.
        start: Where to begin: a time, an age ("2h", a timedelta), "yesterday", offsets by partition; None for the
            beginning. A time is compared with the events' own timestamps.
        end: Where to end, likewise; events at that time or offset are not in it. None for the end as it is when reading
            begins.
        keys: Only events with one of these keys.
        columns: Fields of the payload, `"*"` for all of them, and envelope columns: `_partition`, `_offset`,
            `_timestamp`, `_key`, `_schema_id`, and slower, from the headers, `_headers`, `_id`, `_time`, `_root`,
            `_cause`, `_replay`; `_value` is the raw bytes. None for all fields and the first five.
        where: SQL that could stand behind WHERE, or a `pyarrow.compute.Expression`, over all columns.
        partitions: Only these.
        on_error: What becomes of events that can't be read: put aside in `quarantined`, the scan fails, or they are
            only counted.
        slack: With an end in time: by how much events may lie in the topic later than their timestamps say.
        prune: With keys: read only the partitions that these belong to, as every client with Java's partitioner decides
            it. Not right for a topic that got more partitions, or whose publishers choose them by themselves.
        fast: Whether pyruhvro may decode what it can.
        archive: Whether the archive (`tidemill archive`) is read, too, as one with the topic: `"auto"` for what the
            topic doesn't have any more, True for all that is archived, and only the rest from the topic.
        settings: Addresses and namespace; default: from the environment.

    Raises:
        ConfigError: An argument makes no sense.
    """
    query = make_query(
        topic,
        start=start,
        end=end,
        keys=keys,
        columns=columns,
        where=where,
        partitions=partitions,
        on_error=on_error,
        slack=slack,
        prune=prune,
    )
    return Scan(settings or load_settings(), query, fast=fast, archive=archive)


class Scan:
    """A table that is read when it is asked for, each time anew. Made by `scan`.

    After a run, `tally` says how many events were read and what became of them, `quarantined` holds those that couldn't
    be read, and `gaps` the offsets that retention had taken.
    """

    def __init__(self, settings: Settings, query: Query, *, fast: bool, archive: FromArchive = False) -> None:
        self.settings = settings
        self.query = query
        self.fast = fast
        self.archive = archive
        self._registry = Registry(settings)
        self._writers = Writers(self._registry)
        # Runs outlive the scan that began them, and hold these as well.
        weakref.finalize(self._writers, self._registry.close)
        self._last = Tally()

    def of(self, query: Query) -> Scan:
        """A scan of another query, in the same manner."""
        return Scan(self.settings, query, fast=self.fast, archive=self.archive)

    def __repr__(self) -> str:
        return f"<Scan of {self.query.topic}>"

    @property
    def tally(self) -> Tally:
        """Counts of the last run."""
        return self._last

    @property
    def quarantined(self) -> list[Quarantined]:
        """What couldn't be read in the last run: the first of it, up to 10,000 and 64 MB."""
        return self._last.quarantined

    @property
    def gaps(self) -> list[Gap]:
        """What retention had taken of what the last run was to read."""
        return self._last.gaps

    @cached_property
    def _payload(self) -> WriterSchema:
        try:
            return reader_schema(self._registry, self.query.topic)
        except SchemaNotRegistered:
            from tidemill.replay.unregistered import schema_of_last_events

            found = schema_of_last_events(self, self._registry)
            if found is None:
                raise
            return found

    @property
    def _reader(self) -> WriterSchema | None:
        return None if names_only_envelope(self.query) else self._payload

    @cached_property
    def layout(self) -> Layout:
        """The columns."""
        return make_layout(self.query, self._reader)

    @property
    def schema(self) -> Any:
        """The `pyarrow.Schema` of the table.

        Raises:
            SchemaNotRegistered, RegistryError: The events' schema isn't known.
            ConfigError: A column doesn't exist.
        """
        return self.layout.schema

    def plan(self) -> Plan:
        """What would be read now.

        Raises:
            UnknownTopic, BrokerError: The cluster can't say.
            ArchiveError, StoreError: The archive can't.
        """
        plan = make_plan(self.settings, self.query)
        return join_archive(self.settings, self.query, plan, self.archive) if self.archive else plan

    def run(
        self,
        *,
        keep_messages: bool = False,
        plan: Plan | None = None,
        follow: bool = False,
        check_payload: bool = False,
        share: int = 1,
    ) -> Run:
        """Begin a run: its pieces are what all other methods are made of.

        Args:
            keep_messages: Give the messages as well.
            plan: What to read, where it has been asked for already.
            follow: Go on with what is appended, without an end.
            check_payload: Decode it even where no column of it is asked for: tombstones are left out then, and what
                can't be read is put aside.
            share: How many runs there are at once, which share the memory of one.

        Raises:
            TidemillError: As `plan` and `schema`.
        """
        decoder = None
        reader = self._payload if check_payload else self._reader
        if reader is not None:
            decoder = Decoder(reader, self._writers, self.layout.payload, fast=self.fast)
        plan = plan or self.plan()
        run = Run(
            self.settings,
            self.query,
            plan,
            self.layout,
            decoder,
            keep_messages=keep_messages,
            follow=follow,
            share=share,
            archived=archived_part(
                self.settings, self.query, plan, self.layout, decodes=decoder is not None, messages=keep_messages
            ),
        )
        self._last = run.tally
        return run

    def to_reader(self) -> Any:
        """A `pyarrow.RecordBatchReader`: the table batch by batch, in bounded memory.

        Raises:
            TidemillError: Now or while it is read: see `plan`, `schema`, and `on_error`.
        """
        pa = need("pyarrow", "reading topics as tables")
        run = self.run()
        return pa.RecordBatchReader.from_batches(self.schema, self._batches(run))

    def _batches(self, run: Run) -> Generator[Any, None, None]:
        for piece in run.pieces():
            if piece.batch.num_rows:
                yield piece.batch

    def to_arrow(self) -> Any:
        """The whole table as a `pyarrow.Table`."""
        pa = need("pyarrow", "reading topics as tables")
        run = self.run()
        return pa.Table.from_batches(self._batches(run), self.schema)

    def to_pandas(self) -> Any:
        """The whole table as a `pandas.DataFrame`."""
        need("pandas", "to_pandas()")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """The whole table as a `polars.DataFrame`."""
        return need("polars", "to_polars()").from_arrow(self.to_arrow())

    def to_duckdb(self, connection: Any = None, name: str | None = None) -> Any:
        """A table in DuckDB, as a relation.

        Args:
            connection: Where to make it; default: a new database in memory.
            name: The table's name; default: the topic's. One that exists is replaced.
        """
        duckdb = need("duckdb", "to_duckdb()")
        connection = connection or duckdb.connect()
        quoted = quote_name(name or self.query.topic)
        reader = self.to_reader()
        connection.register("__scan", reader)
        try:
            connection.execute(f"create or replace table {quoted} as select * from __scan")
        finally:
            connection.unregister("__scan")
            reader.close()
        return connection.table(quoted)

    def to_parquet(self, path: str | Path) -> Tally:
        """Write the table into a Parquet file, in bounded memory; an existing one is replaced when all is written.

        Returns:
            What was read and written.
        """
        from tidemill.replay.export import export

        return export(self, Path(path), "parquet", replace=True).tally

    def __iter__(self) -> Iterator[Event[Any]]:
        """The events one by one, typed where a contract is installed, else with a dict as payload."""
        cls = event_class(self.query.topic)
        codec = Codec(self._registry)
        read: dict[int, Any] = {}

        def payload(value: bytes) -> Any:
            if cls is not None:
                return codec.decode(value, cls)
            schema_id = int.from_bytes(value[1:5], "big")
            if schema_id not in read:
                read[schema_id] = record_reader(self._payload, self._writers.of(value[:5]))
            return read[schema_id](value)

        narrow = self.of(replace(self.query, columns=("_offset",)))
        run = narrow.run(keep_messages=True, check_payload=True)
        self._last = run.tally
        for piece in run.pieces():
            for message in piece.taken.messages:
                value = message.value()
                assert value is not None  # tombstones were left out
                try:
                    found = payload(value)
                except DecodeError as error:
                    # It fits the topic's schema, and not that of the installed contract.
                    run.put_aside(message, error)
                else:
                    yield Event.received(found, message)

    def head(self, count: int = 10) -> Any:
        """The first rows as a `pyarrow.Table`: of each partition by offset, and of these together by timestamp.

        Args:
            count: How many, at most a million. With keys, a condition or a range in time, partitions are read in step
                until together they have so many.
        """
        return self._outermost(count, last=False)

    def tail(self, count: int = 10) -> Any:
        """The last rows, in the manner of `head`."""
        return self._outermost(count, last=True)

    def _outermost(self, count: int, *, last: bool) -> Any:
        from tidemill.replay.outermost import outermost

        found = outermost(self, count, last=last)
        self._last = found.tally
        return found.rows

    def count(self, by: By | None = None) -> dict[Any, int]:
        """How many events, in all or by something; nothing is decoded unless there is a condition.

        Args:
            by: `minute`, `hour` or `day` of the timestamps (UTC), `key`, or `partition`.

        Returns:
            Counts by what was asked for, in its order, keys by their count; by None alone in all.
        """
        from tidemill.replay.counting import count

        return count(self, by)

    def estimate(self) -> Estimate:
        """About how many events and bytes it will read, and for how long, from a look at the first 8,192.

        Raises:
            TidemillError: As `plan` and `schema`.
        """
        plan = self.plan()
        if not plan.offsets:
            return Estimate(0, 0, 0.0)
        largest = max(plan.ranges or plan.archived, key=lambda each: each.end - each.start)
        few = replace(largest, end=min(largest.end, largest.start + SAMPLE_EVENTS))
        sample = replace(plan, ranges=(few,), archived=()) if plan.ranges else replace(plan, archived=(few,))
        read, size_bytes, seconds = self.run(plan=sample).sample()
        share = plan.offsets / max(1, read)
        # The two work at the same time, and the slower one decides.
        slower = max(plan.offsets * FETCH_SECONDS, seconds * share)
        return Estimate(plan.offsets, round(size_bytes * share), round(slower, 3))


def quote_name(name: str) -> str:
    """A name as an identifier of SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
