"""Old files of the object store: counted, oldest first, and removed one by one.

Relies on the store, which removes nothing outside of itself and follows no link. A second run of the same event finds
what the first one left.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from datetime import datetime

from streams.cleanup.policy import FilesPolicy
from streams.cleanup.request import Request, Watch, refuse_too_much
from tidemill.errors import ObjectMissing
from tidemill.events import CleanupDone, CleanupStop
from tidemill.store import Store


def run_files(policy: FilesPolicy, request: Request, store: Store, watch: Watch) -> CleanupDone:
    """Apply a policy for files.

    Args:
        policy: Which files.
        request: The run.
        store: Where they are.
        watch: Who looks on.

    Raises:
        Reject: More than the policy's share would go.
        StoreError: The store refuses, or doesn't answer (retriable).
    """
    started = time.monotonic()
    before = matched = 0
    limit = request.as_of - policy.older_than

    def old() -> Iterator[tuple[datetime, str]]:
        nonlocal before, matched
        for info in store.list(policy.prefix):
            before += 1
            if info.modified < limit:
                matched += 1
                yield info.modified, info.uri

    # Of a million files only as many are kept in memory as go.
    chosen = heapq.nsmallest(policy.max_rows, old())
    dry_run = request.dry_run or policy.dry_run
    deleted = 0
    stopped_by: CleanupStop = "done"
    if not dry_run:
        refuse_too_much(policy, request, len(chosen), before, "files")
        for _, uri in chosen:
            if watch.is_cancelled():
                stopped_by = "cancelled"
                break
            if time.monotonic() - started > policy.max_time.total_seconds():
                stopped_by = "time"
                break
            deleted += _delete_if_old(store, uri, limit)
            watch.progress(deleted, len(chosen))
        else:
            stopped_by = "max_rows" if matched > len(chosen) else "done"
    return CleanupDone(
        policy=policy.name,
        as_of=request.as_of,
        dry_run=dry_run,
        before=before,
        matched=matched,
        deleted=deleted,
        left=matched - deleted,
        after=before - deleted,
        batches=1 if deleted else 0,
        seconds=time.monotonic() - started,
        stopped_by=stopped_by,
    )


def _delete_if_old(store: Store, uri: str, limit: datetime) -> bool:
    """Remove a file, unless it has been written anew since it was listed."""
    try:
        return store.head(uri).modified < limit and store.delete(uri)
    except ObjectMissing:
        return False
