"""Makes the table of jobs anew from the topics, beside the one in use, and exchanges all rows in one transaction.

Trackers may run meanwhile: they fold into the old rows until these are exchanged, then go on where the new ones end.
The new rows are gathered in a file of their own, so that nothing of a rebuild that was broken off is left anywhere.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from consumers.status.awaited import installed_awaited
from consumers.status.evidence import Evidence
from consumers.status.fold import chunks, delete_old, fold, next_generation, write_offsets
from consumers.status.log import Log
from consumers.status.topics import partitions_there, roles
from consumers.status.undecoded import Undecoded
from tidemill.codec import Codec
from tidemill.contracts.registry import Registry
from tidemill.jobs.database import Database
from tidemill.jobs.tables import EVENTS, JOBS, METADATA, OFFSETS, PARCELS, VERSION, make, version_of

if TYPE_CHECKING:
    from tidemill.config import Settings

Progress = Callable[[int, int], None]
"""Called with offsets passed and offsets in all."""
COPY_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    messages: int
    """Read from the topics."""
    jobs: int
    """In the table now."""
    kept: int
    """Of them, those that the topics hold no more."""
    before: int
    """In the table before."""
    undecoded: int
    """Messages of which only the envelope could be read."""
    seconds: float


def rebuild(settings: Settings, *, forget: bool = False, progress: Progress | None = None) -> Rebuilt:
    """Make the table anew.

    Args:
        settings: Addresses, and where the table is.
        forget: Drop the jobs that the topics hold no more, instead of taking them over.
        progress: Told now and then how far it is.

    Raises:
        ConfigError: The extra `status` isn't installed, or `status_url` can't be used.
        BrokerError, RegistryError: The topics can't be read.
        StatusUnavailable: The database doesn't answer; then the rows are as they were.
    """
    started = time.monotonic()
    database = Database(settings)
    with tempfile.TemporaryDirectory(prefix="tidemill-rebuild-") as folder:
        beside = Database(settings, file=Path(folder) / "status.db")
        try:
            messages, undecoded = _gather(settings, beside, progress)
            with beside.writing() as new, database.exclusive() as connection:
                before, kept, jobs = _exchange(connection, new, forget=forget)
        finally:
            beside.close()
            database.close()
    return Rebuilt(messages, jobs, kept, before, undecoded, time.monotonic() - started)


def _gather(settings: Settings, beside: Database, progress: Progress | None) -> tuple[int, int]:
    partitions = partitions_there(settings)
    awaited = installed_awaited(settings)
    undecoded = Undecoded()
    messages = 0
    with Registry(settings) as registry:
        evidence = Evidence(settings, roles(settings, partitions), Codec(registry), awaited)
        log = Log(settings, partitions)
        for some, done in log.batches():
            batch = evidence.batch(some)
            with beside.writing() as connection:
                fold(connection, batch, awaited)
            messages += batch.messages
            undecoded.count(batch)
            if progress is not None:
                progress(done, log.messages)
    before_ms = round((time.time() - timedelta(days=settings.status_keep_days).total_seconds()) * 1000)
    with beside.writing() as connection:
        # Also past what is no message: the end of a transaction, or what was compacted.
        write_offsets(connection, log.ends)
        while delete_old(connection, before_ms):
            pass
    return messages, undecoded.total.total()


def _exchange(connection: Connection, new: Connection, *, forget: bool) -> tuple[int, int, int]:
    """Put the new rows in the place of the old ones; returns jobs before, jobs taken over, and jobs now."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    before = kept = 0
    if version_of(connection) not in (None, VERSION):
        # Of another form: nothing of it can be taken over.
        METADATA.drop_all(connection)
    make(connection)
    next_generation(connection)
    before = connection.scalar(select(func.count()).select_from(JOBS)) or 0
    if not forget:
        kept = _take_over(connection, new)
    for table in (JOBS, EVENTS, PARCELS, OFFSETS):
        connection.execute(delete(table))
        _copy(new, connection, table)
    return before, kept, connection.scalar(select(func.count()).select_from(JOBS)) or 0


def _take_over(old: Connection, new: Connection) -> int:
    """Add to the new rows those of jobs that the topics hold no more; returns how many jobs."""
    kept = 0
    for some in chunks(list(old.scalars(select(JOBS.c.job_id).order_by(JOBS.c.job_id)))):
        there = set(new.scalars(select(JOBS.c.job_id).where(JOBS.c.job_id.in_(some))))
        missing = [job for job in some if job not in there]
        if missing:
            kept += len(missing)
            for table in (JOBS, EVENTS, PARCELS):
                rows = old.execute(select(table).where(table.c.job_id.in_(missing))).mappings()
                if found := [dict(row) for row in rows]:
                    new.execute(insert(table), found)
    return kept


def _copy(new: Connection, connection: Connection, table: Table) -> None:
    keys = list(table.primary_key)
    rows = new.execution_options(yield_per=COPY_ROWS).execute(select(table).order_by(*keys)).mappings()
    for some in rows.partitions():
        connection.execute(insert(table), [dict(row) for row in some])
