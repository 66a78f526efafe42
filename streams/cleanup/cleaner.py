"""A policy applied: its database found, its run made, by kind. What the handler and the command share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from streams.cleanup.files_run import run_files
from streams.cleanup.policies import AnyPolicy
from streams.cleanup.policy import FilesPolicy
from streams.cleanup.request import Request, Watch
from streams.cleanup.settings import CleanupSettings
from tidemill.errors import ConfigError
from tidemill.events import CleanupDone
from tidemill.store import Store


def clean(
    policy: AnyPolicy, request: Request, *, settings: CleanupSettings, store: Store, state_dir: Path, watch: Watch
) -> CleanupDone:
    """Apply a policy.

    Args:
        policy: What goes.
        request: The run.
        settings: Where databases are.
        store: Where archives go, and old files are.
        state_dir: Where lock files are.
        watch: Who looks on.

    Raises:
        Reject: Nothing was removed, or nothing more: says why.
        RetryAfter: The database is away or busy, or another run is under way.
        StoreError: The store refuses, or doesn't answer (retriable).
        ConfigError: The database isn't set up.
    """
    request.check(datetime.now(UTC))
    if isinstance(policy, FilesPolicy):
        return run_files(policy, request, store, watch)
    try:
        from streams.cleanup.database import open_database
        from streams.cleanup.rows_run import RowsRun
        from streams.cleanup.run_lock import only_run
    except ImportError as error:
        raise ConfigError(
            f"Policies for tables need {error.name}, which isn't installed.", hint="pip install 'tidemill[cleanup]'"
        ) from error
    with open_database(settings.database_url(policy.database), policy) as database:
        if request.dry_run or policy.dry_run:
            return RowsRun(policy, request, database, store, watch).count()
        with only_run(database, policy.name, state_dir):
            return RowsRun(policy, request, database, store, watch).run()
