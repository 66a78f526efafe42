"""The tally of a running storm: what the handlers' ledger says so far, read on from where the last look ended."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from tests.crash.storm.ledgers import Handled


class Tally:
    """What the handlers have done so far; thread-safe.

    Args:
        path: The handlers' ledger, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self._begun: dict[str, int] = {}
        self._workers: set[int] = set()
        self._owners: dict[tuple[str, int], int] = {}

    def count_done(self) -> int:
        """Events that a handler has finished, each counted once."""
        with self._lock:
            self._read_on()
            return len(self._done)

    def is_done(self, event_id: str) -> bool:
        """Whether a handler has finished this event."""
        with self._lock:
            self._read_on()
            return event_id in self._done

    def worker_of(self, event_id: str) -> int | None:
        """The worker process that began this event last; None before any did, and after it is done."""
        with self._lock:
            self._read_on()
            return self._begun.get(event_id)

    def workers(self) -> set[int]:
        """All worker processes that have begun anything."""
        with self._lock:
            self._read_on()
            return set(self._workers)

    def partitions_of(self, worker: int) -> set[tuple[str, int]]:
        """Stream and number of the partitions in which this worker process was the last to begin or finish an event."""
        with self._lock:
            self._read_on()
            return {place for place, owner in self._owners.items() if owner == worker}

    def _read_on(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as ledger:
            ledger.seek(self._read_bytes)
            for line in ledger:
                if not line.endswith(b"\n"):
                    break
                self._read_bytes += len(line)
                entry = Handled(*json.loads(line))
                self._workers.add(entry.worker)
                self._owners[entry.stream, entry.partition] = entry.worker
                if entry.mark == "DONE":
                    self._done.add(entry.id)
                    self._begun.pop(entry.id, None)
                else:
                    self._begun[entry.id] = entry.worker
