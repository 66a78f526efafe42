"""`sql`: a question in SQL over topics, answered by DuckDB while they are read.

    replay.sql('select source, count(*) from "image.processed" group by all', start="7d").to_pandas()

A topic is read as often as the query scans it, and only the columns that are needed; conditions on `_partition` and
`_timestamp` narrow what is read at all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tidemill.config import Settings, load_settings
from tidemill.errors import ConfigError
from tidemill.replay.envelope import FROM_HEADERS, RAW, USUAL
from tidemill.replay.extras import need
from tidemill.replay.formats import ENDINGS
from tidemill.replay.moments import When
from tidemill.replay.query import SLACK, OnError
from tidemill.replay.scan import quote_name, scan
from tidemill.replay.seam import FromArchive
from tidemill.replay.tally import Tally
from tidemill.replay.topic_table import TopicTable

if TYPE_CHECKING:
    from tidemill.replay.scan import Scan

Progress = Callable[[int, int, int], None]
"""Called with the events read, the offsets passed, and the offsets in all as far as they are known."""
BATCH_ROWS = 8192


def sql(
    statement: str,
    start: When = None,
    end: When = None,
    *,
    keys: Iterable[str | bytes] | str | bytes | None = None,
    on_error: OnError = "quarantine",
    slack: timedelta = SLACK,
    archive: FromArchive = False,
    progress: Progress | None = None,
    settings: Settings | None = None,
) -> Answer:
    """Ask topics in SQL.

    Args:
        statement: One SELECT; its tables are topics, `"image.processed"` or `image.processed`, with the columns of a
            scan, and files of exports, `'week.parquet'`.
        start: Where to begin in each topic, as in `scan`.
        end: Where to end, likewise.
        keys: Only events with one of these keys.
        on_error: What becomes of events that can't be read, as in `scan`.
        slack, archive: As in `scan`.
        progress: Told now and then.
        settings: Addresses and namespace; default: from the environment.

    Returns:
        The answer, to be read once: as a whole, which closes it, or by batches in a `with` block.

    Raises:
        ConfigError: The statement can't be read, isn't one SELECT, or names a column that isn't there.
        UnknownTopic: It names a topic that doesn't exist.
        TidemillError: Broker or registry don't answer.
    """
    settings = settings or load_settings()
    duckdb = need("duckdb", "queries")
    answer = Answer(duckdb, progress)
    try:
        for schema, name in tables_of(duckdb, statement):
            topic = f"{schema}.{name}" if schema else name
            if not schema and Path(name).suffix in ENDINGS and Path(name).is_file():
                continue  # DuckDB reads it
            headers = [each for each in (*FROM_HEADERS, *RAW) if each in statement]
            asked = scan(
                topic,
                start,
                end,
                keys=keys,
                columns=["*", *USUAL, *headers],
                on_error=on_error,
                slack=slack,
                archive=archive,
                settings=settings,
            )
            answer.add(schema, name, asked)
        answer.ask(statement)
    except BaseException:
        answer.close()
        raise
    return answer


def tables_of(duckdb: Any, statement: str) -> list[tuple[str, str]]:
    """The tables that a statement names, as pairs of schema (or an empty text) and name.

    Args:
        duckdb: The module.
        statement: SQL.

    Raises:
        ConfigError: It can't be read, or isn't one SELECT.
    """
    try:
        with duckdb.connect() as connection:
            parsed = json.loads(connection.execute("select json_serialize_sql(?)", [statement]).fetchone()[0])
    except duckdb.Error as error:
        raise ConfigError(f"The query can't be read: {_first_line(error)}", hint="Check its spelling.") from error
    if parsed["error"]:
        said = parsed["error_message"]
        if parsed["error_type"] == "not implemented":
            raise ConfigError("Only SELECT is answered; topics are changed by publishing.", hint="Begin with SELECT.")
        raise ConfigError(f"The query can't be read: {said}.", hint='Topics are named like "image.processed".')
    if len(parsed["statements"]) != 1:
        raise ConfigError(f"One query is answered at a time, found {len(parsed['statements'])}.", hint="Leave one.")
    named: dict[tuple[str, str], None] = {}
    own: set[str] = set()
    for node in _nodes(parsed["statements"]):
        if node.get("type") == "BASE_TABLE":
            catalog, schema, table = (node[f"{each}_name"] for each in ("catalog", "schema", "table"))
            named[".".join(filter(None, (catalog, schema))), table] = None
        elif isinstance(ctes := node.get("cte_map"), dict):
            own |= {each["key"] for each in ctes["map"]}
    return [(schema, table) for schema, table in named if schema or table not in own]


class Answer:
    """Rows that come while topics are read. Made by `sql`."""

    def __init__(self, duckdb: Any, progress: Progress | None) -> None:
        self._duckdb = duckdb
        self._progress = progress
        self._tables: dict[str, TopicTable] = {}
        self._schemas: set[str] = set()
        self._relation: Any = None
        self._reader: Any = None
        self._read = self._passed = 0
        self._spilled = tempfile.TemporaryDirectory(prefix="tidemill-sql-")
        self._connection = duckdb.connect(
            config={
                # What isn't a topic is an error, and no variable of this program or download from somewhere.
                "python_enable_replacements": "false",
                "autoinstall_known_extensions": "false",
                "temp_directory": self._spilled.name,
            }
        )
        self._connection.execute("set TimeZone = 'UTC'")

    @property
    def topics(self) -> list[str]:
        """The topics that the query names."""
        return [*self._tables]

    @property
    def scans(self) -> list[Scan]:
        """What is asked of each of them, before its columns and conditions narrow it."""
        return [each.scan for each in self._tables.values()]

    @property
    def tally(self) -> Tally:
        """What was read so far of all of them, each time that the query scanned it."""
        total = Tally()
        for each in self._tables.values():
            total.add(each.tally)
            total.gaps += each.tally.gaps
        return total

    def add(self, schema: str, name: str, asked: Scan) -> None:
        """Make a topic known as a table."""
        table = TopicTable(asked, self._watch)
        table.plan  # noqa: B018  # an unknown topic, or an unknown schema, is said now
        known = f"__topic_{len(self._tables)}"
        self._connection.register(known, table.dataset())
        self._tables[asked.query.topic] = table
        where = quote_name(name)
        if schema:
            if schema not in self._schemas:
                self._connection.execute(f"create schema if not exists {quote_name(schema)}")
                self._schemas.add(schema)
            where = f"{quote_name(schema)}.{where}"
        self._connection.execute(f"create view {where} as select * from {quote_name(known)}")

    def ask(self, statement: str) -> None:
        """Bind the statement; nothing is read yet.

        Raises:
            ConfigError: It names what isn't there.
        """
        try:
            self._relation = self._connection.sql(statement)
        except self._duckdb.Error as error:
            raise self._translated(error) from error

    @property
    def reader(self) -> Any:
        """A `pyarrow.RecordBatchReader`; read it once, by `batches`, or by what takes one."""
        if self._reader is None:
            try:
                self._reader = self._relation.to_arrow_reader(BATCH_ROWS)
            except self._duckdb.Error as error:
                raise self._translated(error) from error
        return self._reader

    @property
    def schema(self) -> Any:
        """The `pyarrow.Schema` of the rows: whole numbers of 128 bits, as sums have them, become such of 64."""
        pa = need("pyarrow", "queries")
        return pa.schema([field.with_type(pa.int64()) if _is_huge(field) else field for field in self.reader.schema])

    def batches(self) -> Iterator[Any]:
        """The rows, as `pyarrow.RecordBatch`.

        Raises:
            ConfigError: The query fails on the rows, e.g. by a cast.
            TidemillError: Reading failed.
        """
        schema = self.schema
        pa = need("pyarrow", "queries")
        try:
            for batch in self.reader:
                yield batch.cast(schema) if batch.schema != schema else batch
        except pa.ArrowInvalid as error:
            raise self._translated(error) from error
        except (self._duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._translated(error) from error

    def to_arrow(self) -> Any:
        """All rows as a `pyarrow.Table`; closes the answer."""
        with self:
            return need("pyarrow", "queries").Table.from_batches(self.batches(), self.schema)

    def to_pandas(self) -> Any:
        """All rows as a `pandas.DataFrame`; closes the answer."""
        need("pandas", "to_pandas()")
        return self.to_arrow().to_pandas()

    def close(self) -> None:
        """End the query and the reading of topics."""
        # DuckDB first: whatever of it still reads stops then.
        if self._reader is not None:
            self._reader.close()
        self._relation = self._reader = None
        self._connection.close()
        for table in self._tables.values():
            table.close()
        self._spilled.cleanup()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self, read: int, passed: int) -> None:
        self._read += read
        self._passed += passed
        if self._progress is not None:
            planned = sum(each.planned_offsets for each in self._tables.values())
            self._progress(self._read, self._passed, planned)

    def _translated(self, error: Exception) -> BaseException:
        """The error of ours that DuckDB's stands for."""
        for table in self._tables.values():
            if table.error is not None:
                return table.error
        if isinstance(error, self._duckdb.InterruptException):
            return KeyboardInterrupt()
        columns = {name: table.scan.schema.names for name, table in self._tables.items()}
        hint = " ".join(f"{name} has {', '.join(names)}." for name, names in columns.items())
        return ConfigError(f"The query can't be answered: {_first_line(error)}", hint=hint or "Check the query.")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as node:
                yield node
                waiting += node.values()
            case list() as some:
                waiting += some


def _is_huge(field: Any) -> bool:
    pa = need("pyarrow", "queries")
    return bool(field.type == pa.decimal128(38, 0))


def _first_line(error: Exception) -> str:
    return str(error).split("\n\n")[0].strip().replace("\n", " ")
