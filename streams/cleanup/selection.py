"""Which rows a policy means, as a clause: old by the column's own type, and as the condition says. Computes only.

A row whose age isn't known (NULL, or what can't be read as a time) is never meant, and neither is one from the future.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from streams.cleanup.policy import RowsPolicy
from streams.cleanup.target import Target
from tidemill.errors import Reject

_PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_WORD = re.compile(r'"((?:[^"]|"")+)"|([^\W\d]\w*)')
# SQLite reads more as a time than is one: '12:30' as of the year 2000, '1700000' as a Julian day.
_ISO = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_WITH_OFFSET = "*[+-][0-9][0-9]:[0-9][0-9]"


def meant(target: Target, policy: RowsPolicy, as_of: datetime, *, postgres: bool) -> sa.ColumnElement[bool]:
    """The rows that a policy means.

    Args:
        target: The table.
        policy: What is old, and the condition.
        as_of: Moment from which ages are measured; aware.
        postgres: Which dialect.

    Raises:
        Reject: The age column isn't there or has no type that tells an age; the condition names no column.
    """
    clauses: list[sa.ColumnElement[Any]] = []
    if policy.age is not None and policy.older_than is not None:
        column = target.column(policy.age)
        clauses.append(_older(column, as_of - policy.older_than, policy, postgres=postgres))
    if policy.condition is not None:
        _need_a_column(policy.condition, target)
        # Not as a boolean: SQLAlchemy would compare it with 1 for SQLite.
        clauses.append(sa.literal_column(f"({policy.condition})"))
    assert clauses, "a policy has an age or a condition"
    return sa.and_(*clauses)


def oldest_first(target: Target, policy: RowsPolicy) -> list[sa.ColumnElement[Any]]:
    """What rows are taken in the order of."""
    age: list[sa.ColumnElement[Any]] = [] if policy.age is None else [target.column(policy.age)]
    return [*age, *target.key]


def _older(column: sa.Column[Any], before: datetime, policy: RowsPolicy, *, postgres: bool) -> sa.ColumnElement[bool]:
    local = before.astimezone(policy.timezone)
    kind = column.type
    if isinstance(kind, sa.Numeric | sa.Integer):
        if policy.age_unit is None:
            raise Reject(
                f"Column {column.name!r} holds numbers ({kind}); what they count isn't said.",
                hint="Add age_unit: seconds, milliseconds or microseconds since 1970-01-01 UTC.",
            )
        return column < int(before.timestamp() * _PER_SECOND[policy.age_unit])
    if policy.age_unit is not None:
        raise Reject(f"Column {column.name!r} is {kind}, and age_unit is for numbers.", hint="Remove age_unit.")
    if not postgres:
        return _older_in_sqlite(column, before, local)
    if isinstance(kind, sa.DateTime):
        return column < (before if kind.timezone else local.replace(tzinfo=None))
    if isinstance(kind, sa.Date):
        # The whole day must be old enough.
        return column < local.date()
    raise Reject(
        f"Column {column.name!r} is {kind}, which tells no age.",
        hint="Expected a timestamp, a date, or a number since 1970 with age_unit.",
    )


def _older_in_sqlite(column: sa.Column[Any], before: datetime, local: datetime) -> sa.ColumnElement[bool]:
    """SQLite keeps times as text of any of its formats, whatever the column says."""
    if not isinstance(column.type, sa.DateTime | sa.Date | sa.String | sa.types.NullType):
        raise Reject(
            f"Column {column.name!r} is {column.type}, which tells no age.",
            hint="Expected ISO 8601 text, or a number since 1970 with age_unit.",
        )
    text = sa.type_coerce(column, sa.String)
    days = sa.func.julianday(text)
    if isinstance(column.type, sa.Date):
        older = days < sa.func.julianday(local.date().isoformat())
    else:
        wall = days < sa.func.julianday(local.replace(tzinfo=None).isoformat(sep=" "))
        # SQLite turns texts with an offset into UTC.
        world = days < sa.func.julianday(before.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" "))
        has_offset = sa.or_(text.op("GLOB")("*[zZ]"), text.op("GLOB")(_WITH_OFFSET))
        older = sa.case((has_offset, world), else_=wall)
    return sa.and_(text.op("GLOB")(_ISO), older)


def _need_a_column(condition: str, target: Target) -> None:
    without_texts = re.sub(r"'(?:[^']|'')*'", "''", condition)
    named = {(quoted or word).lower() for quoted, word in _WORD.findall(without_texts)}
    if not named & {name.lower() for name in target.table.c.keys()}:  # noqa: SIM118 - a collection of columns
        raise Reject(
            f"Condition {condition!r} names no column of {target.table.fullname!r}, so it holds for all rows or none.",
            hint=f"Its columns are {', '.join(target.table.c.keys())}.",
        )
