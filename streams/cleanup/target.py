"""The table of a policy, as the database describes it, and how one row of it is told from the others.

Relies on SQLAlchemy's reflection; every name goes to the database quoted by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from streams.cleanup.database import Database
from streams.cleanup.policy import RowsPolicy
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import Reject

_MOST_PARAMETERS = 30_000
"""Of one statement: SQLite takes 32,766, PostgreSQL 65,535."""


class _RowAddress(sa.types.UserDefinedType[str]):
    """PostgreSQL's `tid`, which SQLAlchemy doesn't know: as text, with a cast on its way back."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        return "tid"


@dataclass(frozen=True)
class Target:
    """A table.

    Attributes:
        table: It.
        key: Columns of the primary key; without one, the row's address, which holds within a transaction only.
        has_primary_key: Which of both.
    """

    table: sa.Table
    key: tuple[sa.ColumnElement[Any], ...]
    has_primary_key: bool

    def column(self, name: str) -> sa.Column[Any]:
        """A column of the table.

        Raises:
            Reject: There is none of this name.
        """
        if name not in self.table.c:
            names = list(self.table.c.keys())
            raise Reject(
                f"Table {self.table.fullname!r} has no column {name!r}.",
                hint=did_you_mean(name, names) or f"It has {', '.join(names)}.",
            )
        return self.table.c[name]

    def rows_of(self, keys: Sequence[Sequence[Any]]) -> list[sa.ColumnElement[bool]]:
        """Clauses that together mean the rows of these keys, none too long for one statement."""
        step = _MOST_PARAMETERS // len(self.key)
        pieces = [keys[at : at + step] for at in range(0, len(keys), step)]
        if len(self.key) == 1:
            return [self.key[0].in_([key[0] for key in piece]) for piece in pieces]
        return [sa.tuple_(*self.key).in_([tuple(key) for key in piece]) for piece in pieces]


def load_target(database: Database, policy: RowsPolicy) -> Target:
    """Look a policy's table up.

    Raises:
        Reject: It isn't there, is a view, takes other tables' rows along, or its rows can't be told apart.
        RetryAfter: The database doesn't answer.
    """
    with database.reading() as connection:
        inspector = sa.inspect(connection)
        name, schema = policy.table.table, policy.table.schema
        names = inspector.get_table_names(schema)
        if name not in names:
            raise _not_a_table(inspector, policy, names)
        table = sa.Table(
            quoted_name(name, True),
            sa.MetaData(),
            schema=None if schema is None else quoted_name(schema, True),
            autoload_with=connection,
            resolve_fks=False,
        )
        if not policy.cascade and (takers := _taken_along(connection, database, policy)):
            raise Reject(
                f"With rows of {str(policy.table)!r}, rows of {', '.join(takers)} would go (ON DELETE CASCADE).",
                hint="Clean those up first, or allow it by cascade = true; they are neither counted nor archived.",
            )
        key = tuple(table.primary_key.columns)
        if key:
            return Target(table, key, has_primary_key=True)
        if database.is_postgres and _is_divided(connection, table):
            raise Reject(
                f"Table {str(policy.table)!r} has partitions and no primary key, so its rows can't be told apart.",
                hint="Give it a primary key, or clean up each partition.",
            )
        address = sa.literal_column("ctid", _RowAddress()) if database.is_postgres else sa.literal_column("_rowid_")
        return Target(table, (address,), has_primary_key=False)


def _not_a_table(inspector: sa.Inspector, policy: RowsPolicy, names: list[str]) -> Reject:
    name, schema = policy.table.table, policy.table.schema
    views = inspector.get_view_names(schema)
    if inspector.dialect.name == "postgresql":
        views = [*views, *inspector.get_materialized_view_names(schema)]
    if name in views:
        return Reject(
            f"{str(policy.table)!r} is a view; rows are only removed from tables.",
            hint="Name the table that holds the rows.",
        )
    return Reject(
        f"There is no table {str(policy.table)!r} in database {policy.database!r}.",
        hint=did_you_mean(name, names) or "Check its schema and name; capital letters count.",
    )


def _taken_along(connection: sa.Connection, database: Database, policy: RowsPolicy) -> list[str]:
    """Tables whose rows go with the rows of this one."""
    if database.is_postgres:
        # By SQLAlchemy's quoting, as everywhere: the name is a value here.
        found = connection.execute(
            sa.text(
                "SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint c "
                "JOIN pg_class t ON t.oid = c.confrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
                "WHERE c.contype = 'f' AND c.confdeltype = 'c' AND t.relname = :name "
                "AND n.nspname = coalesce(:schema, current_schema()) ORDER BY 1"
            ).bindparams(sa.bindparam("schema", type_=sa.Text)),
            {"name": policy.table.table, "schema": policy.table.schema},
        )
    else:
        found = connection.execute(
            sa.text(
                "SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f "
                "WHERE m.type = 'table' AND lower(f.\"table\") = lower(:name) AND upper(f.on_delete) = 'CASCADE' "
                "ORDER BY 1"
            ),
            {"name": policy.table.table},
        )
    return [str(name) for name in found.scalars()]


def _is_divided(connection: sa.Connection, table: sa.Table) -> bool:
    """Whether rows of several relations are seen through this one, so that an address isn't theirs alone."""
    quoted = connection.dialect.identifier_preparer.format_table(table)
    children = sa.text("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = CAST(:name AS regclass))")
    return bool(connection.execute(children, {"name": quoted}).scalar_one())
