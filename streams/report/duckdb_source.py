"""DuckDB over a report's `[tables]`: Parquet and CSV files, and topics, which are copied into a database of their own.

It runs within the memory and on the disk of one report: what doesn't fit is kept in the report's temporary folder.
Once the tables are there it can't reach any other file, nor the network, nor change its own limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from streams.report.binds import binds_of, for_duckdb
from streams.report.deadline import Deadline
from streams.report.definition import TABLES, Definition, Table
from streams.report.parameters import Value
from streams.report.source import BATCH_ROWS, Result
from tidemill.errors import Reject

if TYPE_CHECKING:
    import pyarrow as pa


class TopicReader(Protocol):
    """Gives the events of a topic between two moments as Arrow batches."""

    def __call__(self, table: Table, start: datetime | None, end: datetime | None) -> pa.RecordBatchReader: ...


class DuckDbSource:
    """A database that holds the tables of one report.

    Args:
        definition: What the tables are.
        folder: Of the report; paths of files are relative to it.
        views: SELECTs over these tables, which are tables in turn, by name.
        scratch: A folder that is removed after the report.
        values: The report's parameters, for the topics' time ranges.
        memory_mb: Most memory for queries, MB.
        deadline: When its queries have to be done.
        topics: Reads topics.

    Raises:
        Reject: A table can't be made.
    """

    def __init__(
        self,
        definition: Definition,
        folder: Path,
        scratch: Path,
        *,
        views: Mapping[str, str],
        values: Mapping[str, Value],
        memory_mb: int,
        deadline: Deadline,
        topics: TopicReader,
    ) -> None:
        self._deadline = deadline
        self._connection = duckdb.connect(
            scratch / "tables.duckdb",
            config={
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(scratch / "spill"),
                # With several, sums of floats and rows without an order would differ from run to run.
                "threads": 1,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
        allowed: list[str] = []
        with self._errors("its tables"):
            for name, table in definition.tables.items():
                if table.sql is None:
                    self._add(name, table, folder, values, topics, definition, allowed)
            self._connection.execute("SET TimeZone = ?", [definition.time_zone])
            self._connection.execute("SET allowed_directories = ?", [allowed])
            self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")
            for name, sql in views.items():
                self._connection.from_query(self._select(sql).query).create_view(name)

    def run(self, sql: str, values: Mapping[str, Value]) -> Result:
        """As `Source.run`."""
        self._deadline.check()
        with self._errors("a query"):
            used = {bind.name: values[bind.name] for bind in binds_of(sql)}
            self._connection.execute(self._select(sql), used)
            names = tuple(str(column[0]) for column in self._connection.description or ())
        return Result(names, self._batches())

    def close(self) -> None:
        """As `Source.close`."""
        self._connection.close()

    def _select(self, sql: str) -> duckdb.Statement:
        statements = self._connection.extract_statements(for_duckdb(sql))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise Reject("A query of the report's tables is no single SELECT; reports only read.")
        return statements[0]

    def _batches(self) -> Iterator[Sequence[Sequence[Any]]]:
        while True:
            with self._errors("a query"):
                rows = self._connection.fetchmany(BATCH_ROWS)
            if not rows:
                return
            self._deadline.check()
            yield rows

    def _add(
        self,
        name: str,
        table: Table,
        folder: Path,
        values: Mapping[str, Value],
        topics: TopicReader,
        definition: Definition,
        allowed: list[str],
    ) -> None:
        path = folder.absolute() / (table.parquet or table.csv or "")
        if table.topic is not None:
            zone_begin = _bounds(definition)
            start = zone_begin(values.get(table.start)) if table.start else None
            end = zone_begin(values.get(table.end), after=True) if table.end else None
            self._connection.register("events", topics(table, start, end))
            self._connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM events ORDER BY _partition, _offset')
            self._connection.unregister("events")
        else:
            read: Callable[[str], duckdb.DuckDBPyRelation] = (
                self._connection.read_parquet if table.parquet is not None else self._connection.read_csv
            )
            read(str(path)).create_view(name)
            allowed.append(str(_fixed_part(path)))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            with self._deadline.interrupting(self._connection.interrupt):
                yield
        except duckdb.Error as error:
            if self._deadline.passed:
                raise self._deadline.error() from error
            said = str(error).strip()
            if isinstance(error, duckdb.OutOfMemoryException):
                raise Reject(
                    f"The report's tables need more memory: {said.partition(chr(10))[0]}",
                    hint="Raise memory_mb in [limits] and TIDEMILL_REPORT_MAX_MEMORY_MB.",
                ) from error
            raise Reject(f"The source {TABLES!r} refuses {what}: {said}") from error


def _bounds(definition: Definition) -> Callable[..., datetime | None]:
    def moment(value: Value, *, after: bool = False) -> datetime | None:
        """The begin of a day, or with `after` its end; moments are themselves."""
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            day = value + timedelta(days=1) if after else value
            return datetime.combine(day, time(), definition.zone).astimezone(UTC)
        return None

    return moment


def _fixed_part(path: Path) -> Path:
    """The folder of a pattern before its first wildcard."""
    fixed = path.parent
    while any(sign in str(fixed) for sign in "*?["):
        fixed = fixed.parent
    return fixed
