"""What a policy says, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from streams.cleanup.table_name import TableName

AgeUnit = Literal["seconds", "milliseconds", "microseconds"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What every policy says.

    Attributes:
        name: What it is asked for by.
        older_than: Least age of what goes; None: the condition alone decides.
        max_share: Most of the whole that one run may take, above 0, at most 1.
        max_rows: Most rows or files that one run removes; the oldest go first.
        max_time: After so long a run ends, and what is left comes with the next.
        dry_run: Only ever count.
    """

    name: str
    older_than: timedelta | None
    max_share: float = 0.2
    max_rows: int = 1_000_000
    max_time: timedelta = timedelta(minutes=30)
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class RowsPolicy(Policy):
    """Old rows of a table.

    Attributes:
        database: Name of a connection, or a `sqlite:` URL.
        table: The table.
        age: Column that says since when a row is old; None: the condition alone decides.
        age_unit: What a number in that column counts since 1970-01-01 UTC.
        timezone: What dates, and times without a zone, mean in that column.
        condition: SQL that must hold, too.
        batch_rows: Rows of one transaction.
        pause_seconds: Between two transactions, so that others get their turn.
        archive: Prefix in the object store under which rows are kept as Parquet before they go; None: they just go.
        cascade: Whether rows of other tables may go along, by ON DELETE CASCADE; they are neither counted nor archived.
        lock_seconds: Longest wait for a lock.
        statement_seconds: Longest time of one statement.
    """

    database: str
    table: TableName
    age: str | None = None
    age_unit: AgeUnit | None = None
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    condition: str | None = None
    batch_rows: int = 5_000
    pause_seconds: float = 0.2
    archive: str | None = None
    cascade: bool = False
    lock_seconds: float = 5.0
    statement_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class FilesPolicy(Policy):
    """Old files of the object store.

    Attributes:
        prefix: Folders below the store; whole names count.
        older_than: Least age, by the time of the last change.
    """

    older_than: timedelta
    prefix: str
