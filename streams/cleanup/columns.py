"""How a table's columns are read for the archive: the Arrow type of each, and what a value becomes.

Types come from the database's catalogue and not from the values, so that all files of a table have one schema. What
Arrow has no exact type for is kept as the database's own text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa

from streams.cleanup.target import Target
from tidemill.errors import Reject

_MOST_DIGITS = 38
"""Of a decimal in Parquet that all programs read."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class ArchiveColumn:
    """One column.

    Attributes:
        name: In the table and in the file.
        type: In the file.
        expression: What is selected.
        is_text: Whether it is the database's text for another type: it can't be looked up by.
        to_arrow, from_arrow: What a value of the database becomes in the file, and back.
    """

    name: str
    type: pa.DataType
    expression: sa.ColumnElement[Any]
    is_text: bool = False
    to_arrow: Callable[[Any], Any] = _same
    from_arrow: Callable[[Any], Any] = _same


def archive_columns(target: Target, *, postgres: bool) -> list[ArchiveColumn]:
    """The columns of a table, in its order.

    Raises:
        Reject: It has no primary key, or one that an archive can't be compared by.
    """
    if not target.has_primary_key:
        raise Reject(
            f"Table {target.table.fullname!r} has no primary key, so its rows can't be archived exactly once.",
            hint="Give it one, or remove archive from the policy.",
        )
    make = _postgres if postgres else _sqlite
    columns = [make(column) for column in target.table.columns]
    for column in columns:
        if column.is_text and target.table.c[column.name].primary_key:
            raise Reject(
                f"Column {column.name!r} of the primary key is {target.table.c[column.name].type}, which an archive "
                "can't be compared by.",
                hint="Remove archive from the policy.",
            )
    return columns


def arrow_table(columns: Sequence[ArchiveColumn], rows: Sequence[Sequence[Any]], metadata: dict[str, str]) -> pa.Table:
    """Rows as an Arrow table.

    Args:
        columns: The columns that were selected.
        rows: As the database gave them.
        metadata: Goes into the file.

    Raises:
        Reject: A value isn't what its column's type promises.
    """
    arrays = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        try:
            converted = [None if value is None else column.to_arrow(value) for value in values]
            arrays.append(pa.array(converted, column.type))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise Reject(
                f"Column {column.name!r} holds a value that {column.type} can't hold exactly: {error}.",
                hint="Leave its row out by the condition, or remove archive from the policy.",
            ) from error
    schema = pa.schema([pa.field(column.name, column.type) for column in columns], metadata=metadata)
    return pa.table(arrays, schema=schema)


def _postgres(column: sa.Column[Any]) -> ArchiveColumn:
    match column.type:
        case sa.Boolean():
            return ArchiveColumn(column.name, pa.bool_(), column)
        case sa.Integer():
            return ArchiveColumn(column.name, pa.int64(), column)
        case sa.Float():
            return ArchiveColumn(column.name, pa.float64(), column)
        case sa.Numeric(precision=int(digits), scale=scale) if digits <= _MOST_DIGITS and (scale or 0) >= 0:
            return ArchiveColumn(column.name, pa.decimal128(digits, scale or 0), column)
        case sa.Uuid():
            return ArchiveColumn(column.name, pa.string(), column, to_arrow=str, from_arrow=UUID)
        case sa.String():
            return ArchiveColumn(column.name, pa.string(), column)
        case sa.DateTime(timezone=aware):
            return ArchiveColumn(column.name, pa.timestamp("us", "UTC" if aware else None), column)
        case sa.Date():
            return ArchiveColumn(column.name, pa.date32(), column)
        case sa.LargeBinary():
            return ArchiveColumn(column.name, pa.binary(), column, to_arrow=bytes)
        case _:
            return ArchiveColumn(column.name, pa.string(), sa.cast(column, sa.Text).label(column.name), is_text=True)


def _sqlite(column: sa.Column[Any]) -> ArchiveColumn:
    # As it is stored: SQLite lets a column hold what its type doesn't promise, and SQLAlchemy would stumble over it.
    stored = sa.type_coerce(column, sa.types.NullType()).label(column.name)
    match column.type:
        case sa.Integer() | sa.Boolean():
            return ArchiveColumn(column.name, pa.int64(), stored, to_arrow=_stored_as(int))
        case sa.Float():
            return ArchiveColumn(column.name, pa.float64(), stored, to_arrow=_stored_as(float))
        case sa.LargeBinary():
            return ArchiveColumn(column.name, pa.binary(), stored, to_arrow=_stored_as(bytes))
        case _:
            return ArchiveColumn(column.name, pa.string(), stored, to_arrow=_text)


def _stored_as(kind: type) -> Callable[[Any], Any]:
    """Arrow would make 2 of 2.5 without a word."""

    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"found {value!r} ({type(value).__name__})")
        return value

    return check


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        raise TypeError(f"found {value[:40]!r} (bytes)")
    return str(value)
