"""Old rows of a table, removed in small transactions: counted, archived, and only then gone.

    choose, oldest first, and lock     SELECT ... ORDER BY age LIMIT n FOR UPDATE SKIP LOCKED
    delete by key                      nobody sees it yet; foreign keys and triggers have their say
    archive                            written, read back, compared
    commit

A worker killed before the commit leaves an archive of rows that are still there. The next try of the same event begins
with the archives that it finds: rows that are still there as they were archived are deleted, and not archived again.
So no row is lost, and none is archived twice in the same form (invariant of docs/streams/cleanup.md).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from streams.cleanup.archive import Archive, as_kept, row_texts
from streams.cleanup.columns import archive_columns
from streams.cleanup.database import Database
from streams.cleanup.policy import RowsPolicy
from streams.cleanup.request import Request, Watch, refuse_too_much
from streams.cleanup.selection import meant, oldest_first
from streams.cleanup.target import Target, load_target
from tidemill.errors import Reject
from tidemill.events import CleanupArchive, CleanupDone, CleanupStop
from tidemill.store import Store


class RowsRun:
    """One run of a policy for rows.

    Args:
        policy: Which rows.
        request: The run.
        database: Its connection; nobody else runs the same policy (`only_run`), except where it only counts.
        store: Where archives go.
        watch: Who looks on.

    Raises:
        Reject: The policy doesn't fit the table.
        RetryAfter: The database doesn't answer.
    """

    def __init__(self, policy: RowsPolicy, request: Request, database: Database, store: Store, watch: Watch) -> None:
        self._policy, self._request, self._database, self._watch = policy, request, database, watch
        self._started = time.monotonic()
        self._target: Target = load_target(database, policy)
        self._meant = meant(self._target, policy, request.as_of, postgres=database.is_postgres)
        self._archive: Archive | None = None
        if policy.archive is not None:
            columns = archive_columns(self._target, postgres=database.is_postgres)
            self._archive = Archive(store, policy, request.event_id, request.as_of, columns)
        self._files: list[CleanupArchive] = []
        self._next_number = 1
        self._deleted = self._earlier = self._batches = 0

    def count(self) -> CleanupDone:
        """What the run would do; removes nothing."""
        before, matched = self._count()
        return self._done(before, matched, before, matched, "done", dry_run=True)

    def run(self) -> CleanupDone:
        """Remove what the policy means.

        Raises:
            Reject: Too much would go, other rows refer to what would, or the database refuses.
            RetryAfter: The database doesn't answer, or rows stayed locked.
            StoreError: The archive can't be written (mostly retriable).
        """
        if self._archive is not None:
            self._finish_earlier(self._archive)
        resumed = self._deleted
        before, matched = self._count()
        limit = max(0, self._policy.max_rows - self._earlier - self._deleted)
        taken = min(matched, limit)
        refuse_too_much(self._policy, self._request, taken, before, "rows")
        self._refuse_everything(before, matched)
        stopped_by = self._remove(limit, resumed, taken)
        after, left = self._count()
        if stopped_by == "max_rows" and not left:
            stopped_by = "done"
        return self._done(before + resumed, matched + resumed, after, left, stopped_by, dry_run=False)

    def _count(self) -> tuple[int, int]:
        """Rows of the table, and those that are meant. Here a condition that writes is found out."""
        table = self._target.table
        with self._database.reading() as connection:
            before = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            chosen = sa.select(sa.func.count()).select_from(table).where(self._meant)
            return before, connection.execute(chosen).scalar_one()

    def _refuse_everything(self, before: int, matched: int) -> None:
        if self._policy.age is None and 0 < before == matched and not self._request.force:
            raise Reject(
                f"The condition of policy {self._policy.name!r} holds for all {before:,} rows of the table. "
                "Nothing was removed.",
                hint="Is it always true? If it is meant: ask with force = true.",
            )

    def _remove(self, limit: int, resumed: int, taken: int) -> CleanupStop:
        last = self._started + self._policy.max_time.total_seconds()
        while True:
            removed = self._deleted - resumed
            self._watch.progress(self._deleted, taken + resumed)
            if removed >= limit:
                return "max_rows"
            if self._watch.is_cancelled():
                return "cancelled"
            if time.monotonic() > last:
                return "time"
            wanted = min(self._policy.batch_rows, limit - removed)
            found = self._remove_batch(wanted)
            if found < wanted:
                # What others hold locked is skipped, and comes with the next run.
                self._watch.progress(self._deleted, taken + resumed)
                return "max_rows" if self._deleted - resumed >= limit else "done"
            time.sleep(self._policy.pause_seconds)

    def _remove_batch(self, wanted: int) -> int:
        target, archive = self._target, self._archive
        kept = [] if archive is None else [column.expression for column in archive.columns]
        choose = (
            sa.select(*(key.label(f"key_{number}") for number, key in enumerate(target.key)), *kept)
            .select_from(target.table)
            .where(self._meant)
            .order_by(*oldest_first(target, self._policy))
            .limit(wanted)
            .with_for_update(skip_locked=True)
        )
        width = len(target.key)
        file: CleanupArchive | None = None
        try:
            with self._database.writing() as connection:
                rows = connection.execute(choose).all()
                if not rows:
                    return 0
                self._delete(connection, [row[:width] for row in rows])
                if archive is not None:
                    file = archive.keep(self._next_number, [row[width:] for row in rows])
        except Reject:
            # A commit that was refused, by a foreign key that is checked last. Of one without an answer nobody knows.
            if archive is not None and file is not None:
                archive.drop(file)
            raise
        self._deleted += len(rows)
        self._batches += 1
        if file is not None:
            self._next_number += 1
            self._files.append(file)
        return len(rows)

    def _delete(self, connection: sa.Connection, keys: Sequence[Sequence[Any]]) -> None:
        deleted = 0
        for clause in self._target.rows_of(keys):
            deleted += connection.execute(sa.delete(self._target.table).where(clause)).rowcount
        if deleted != len(keys):
            raise Reject(
                f"The database removed {deleted:,} of {len(keys):,} rows of {self._target.table.fullname!r} that were "
                "chosen and locked; this batch was undone.",
                hint="A trigger or rule keeps or moves rows: leave them out by the condition.",
            )

    def _finish_earlier(self, archive: Archive) -> None:
        """Delete what an earlier try of this event has archived and not deleted."""
        names = [column.name for column in archive.columns]
        keys = [column for column in archive.columns if self._target.table.c[column.name].primary_key]
        for kept in archive.earlier():
            columns = [kept.table.column(column.name).to_pylist() for column in keys]
            wanted = [
                tuple(column.from_arrow(value) for column, value in zip(keys, values, strict=True))
                for values in zip(*columns, strict=True)
            ]
            known = set(row_texts(kept.table.select(names)))
            left = 0
            with self._database.writing() as connection:
                for clause in self._target.rows_of(wanted):
                    choose = sa.select(*self._target.key, *(column.expression for column in archive.columns))
                    rows = connection.execute(choose.where(clause, self._meant).with_for_update()).all()
                    width = len(self._target.key)
                    texts = as_kept(archive.columns, [row[width:] for row in rows])
                    same = [row[:width] for row, text in zip(rows, texts, strict=True) if text in known]
                    self._delete(connection, same)
                    left += len(same)
            self._deleted += left
            self._batches += bool(left)
            self._earlier += kept.file.rows - left
            self._files.append(kept.file)
            self._next_number = kept.number + 1

    def _done(
        self, before: int, matched: int, after: int, left: int, stopped_by: CleanupStop, *, dry_run: bool
    ) -> CleanupDone:
        return CleanupDone(
            policy=self._policy.name,
            as_of=self._request.as_of,
            dry_run=dry_run,
            before=before,
            matched=matched,
            deleted=self._deleted,
            deleted_earlier=self._earlier,
            left=left,
            after=after,
            archives=self._files,
            batches=self._batches,
            seconds=time.monotonic() - self._started,
            stopped_by=stopped_by,
        )
