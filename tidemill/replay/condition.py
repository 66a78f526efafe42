"""Which rows of a batch fulfil a condition: SQL text, read by DuckDB, or an expression of pyarrow."""

from __future__ import annotations

from typing import Any

from tidemill.errors import ConfigError
from tidemill.replay.extras import need

_ROW = "__row"


class Condition:
    """A condition on the columns of a batch.

    Args:
        where: SQL that could stand behind WHERE, e.g. `width > 100 and _key like 'a%'`, or an Expression of pyarrow.
    """

    def __init__(self, where: Any) -> None:
        self._where = where
        self._is_sql = isinstance(where, str)
        self._connection: Any = None

    def rows(self, batch: Any) -> list[int]:
        """Numbers of the rows that fulfil it, ascending.

        Args:
            batch: A `pyarrow.RecordBatch`.

        Raises:
            ConfigError: The condition can't be read, or names a column that isn't there.
        """
        table = need("pyarrow", "conditions").Table.from_batches([batch])
        try:
            return self._sql(table) if self._is_sql else self._expression(table)
        except ConfigError:
            raise
        except Exception as error:  # DuckDB and pyarrow each have a tree of errors of their own
            said = str(error).splitlines()[0]
            raise ConfigError(
                f"The condition {self._where!r} can't be used: {said}",
                hint=f"Columns: {', '.join(table.column_names)}.",
            ) from error

    def _sql(self, table: Any) -> list[int]:
        if self._connection is None:
            duckdb = need("duckdb", "conditions in SQL")
            # A condition is about the rows at hand: it reads no files and loads nothing.
            self._connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
            self._connection.execute("set TimeZone = 'UTC'")
        relation = self._connection.from_arrow(table).project(f"({self._where}) as fulfilled")
        fulfilled = relation.to_arrow_table().column(0)
        pa = need("pyarrow", "conditions")
        if not pa.types.is_boolean(fulfilled.type):
            raise ConfigError(
                f"The condition {self._where!r} gives {fulfilled.type} and not yes or no.",
                hint="Compare it with something.",
            )
        if len(fulfilled) != table.num_rows:
            raise ConfigError(
                f"The condition {self._where!r} is about all rows together, and not about each.",
                hint="Leave out what counts or sums up; export, and ask DuckDB about the file.",
            )
        compute = need("pyarrow.compute", "conditions")
        rows: list[int] = compute.indices_nonzero(fulfilled).to_pylist()
        return rows

    def _expression(self, table: Any) -> list[int]:
        pa = need("pyarrow", "conditions")
        numbered = table.append_column(_ROW, pa.array(range(table.num_rows), pa.int64()))
        rows: list[int] = numbered.filter(self._where).column(_ROW).to_pylist()
        return rows
