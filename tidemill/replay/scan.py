"""`scan`: a topic, or a part of it, as a table. Nothing is read before the table is asked for.

It ends where the topic ended when reading began, joins no consumer group, commits nothing, and keeps memory bounded
unless the whole table is asked for.
"""

from __future__ import annotations

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
from tidemill.replay.tally import Quarantined, Tally

if TYPE_CHECKING:
    from confluent_kafka import Message

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
    return Scan(settings or load_settings(), query, fast=fast)


class Scan:
    """A table that is read when it is asked for, each time anew. Made by `scan`.

    After a run, `tally` says how many events were read and what became of them, `quarantined` holds those that couldn't
    be read, and `gaps` the offsets that retention had taken.
    """

    def __init__(self, settings: Settings, query: Query, *, fast: bool) -> None:
        self.settings = settings
        self.query = query
        self.fast = fast
        self._registry = Registry(settings)
        self._writers = Writers(self._registry)
        self._last = Tally()

    def of(self, query: Query) -> Scan:
        """A scan of another query, in the same manner."""
        return Scan(self.settings, query, fast=self.fast)

    def __repr__(self) -> str:
        return f"<Scan of {self.query.topic}>"

    @property
    def tally(self) -> Tally:
        """Counts of the last run."""
        return self._last

    @property
    def quarantined(self) -> list[Quarantined]:
        """What couldn't be read in the last run: the first 10,000 of it."""
        return self._last.quarantined

    @property
    def gaps(self) -> list[Gap]:
        """What retention had taken of what the last run was to read."""
        return self._last.gaps

    @cached_property
    def _reader(self) -> WriterSchema | None:
        return None if names_only_envelope(self.query) else reader_schema(self._registry, self.query.topic)

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
        """
        return make_plan(self.settings, self.query)

    def run(self, *, keep_messages: bool = False, plan: Plan | None = None, follow: bool = False) -> Run:
        """Begin a run: its pieces are what all other methods are made of.

        Args:
            keep_messages: Give the messages as well.
            plan: What to read, where it has been asked for already.
            follow: Go on with what is appended, without an end.

        Raises:
            TidemillError: As `plan` and `schema`.
        """
        decoder = None
        if self._reader is not None:
            decoder = Decoder(self._reader, self._writers, self.layout.payload, fast=self.fast)
        run = Run(
            self.settings,
            self.query,
            plan or self.plan(),
            self.layout,
            decoder,
            keep_messages=keep_messages,
            follow=follow,
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

        def payload(message: Message) -> Any:
            value = message.value()
            assert value is not None  # tombstones were left out
            if cls is not None:
                return codec.decode(value, cls)
            schema_id = int.from_bytes(value[1:5], "big")
            if schema_id not in read:
                assert self._reader is not None
                read[schema_id] = record_reader(self._reader, self._writers.of(value[:5]))
            return read[schema_id](value)

        run = self.run(keep_messages=True)
        for piece in run.pieces():
            for message in piece.taken.messages:
                yield Event.received(payload(message), message)

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
        if not plan.ranges:
            return Estimate(0, 0, 0.0)
        largest = max(plan.ranges, key=lambda each: each.end - each.start)
        few = replace(largest, end=min(largest.end, largest.start + SAMPLE_EVENTS))
        read, size_bytes, seconds = self.run(plan=replace(plan, ranges=(few,))).sample()
        share = plan.offsets / max(1, read)
        # The two work at the same time, and the slower one decides.
        slower = max(plan.offsets * FETCH_SECONDS, seconds * share)
        return Estimate(plan.offsets, round(size_bytes * share), round(slower, 3))


def quote_name(name: str) -> str:
    """A name as an identifier of SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
