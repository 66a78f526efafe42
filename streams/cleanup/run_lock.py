"""At most one run of a policy at a time: a run that was thought dead and wakes up must find the door shut.

PostgreSQL has advisory locks for it. SQLite has none; its file is used on one machine only, and there a lock on a file
of ours ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.cleanup.database import Database, under_way
from tidemill.errors import ConfigError


@contextmanager
def only_run(database: Database, policy: str, state_dir: Path) -> Iterator[None]:
    """Hold the policy's lock for the time of the block.

    Args:
        database: The run's connection; with PostgreSQL it holds the lock.
        policy: Name of the policy.
        state_dir: Where lock files are, for SQLite.

    Raises:
        RetryAfter: Another run has it.
        ConfigError: The lock file can't be made.
    """
    if database.is_postgres:
        database.claim()
        yield
        return
    with only_here(policy, state_dir):
        yield


@contextmanager
def only_here(policy: str, state_dir: Path) -> Iterator[None]:
    """Hold a policy's lock among the processes of this machine; raises as `only_run`."""
    folder = state_dir / "cleanup"
    path = folder / f"{hashlib.sha256(policy.encode()).hexdigest()[:32]}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} can't be made: {error.strerror}.", hint="Look at TIDEMILL_STATE_DIR.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise under_way(policy) from error
        yield
    finally:
        os.close(descriptor)
