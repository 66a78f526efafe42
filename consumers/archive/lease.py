"""Who works on a topic: so that two archivers don't do the same work. That none does it twice, the log sees to.

A lease is a series of numbered objects, each made by `Store.claim`: who makes the next one has it, and makes a further
one every few seconds. No clock is compared with another machine's: dead is who makes none while somebody watches.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tidemill.errors import ObjectMissing, StoreError
from tidemill.replay.lake import INNER
from tidemill.store import Store
from tidemill.telemetry import get_logger

KEPT = 3
MOST_BYTES = 10_000


@dataclass(frozen=True)
class Mark:
    """The newest object of a lease."""

    number: int
    holder: str
    """Host and process; empty where it was given back."""
    token: str


class Lease:
    """The lease of one topic.

    Args:
        store: The archive's.
        topic: The topic's full name.
        seconds: A holder that makes no mark for so long counts as dead.
        clock: Seconds that only go on.
    """

    def __init__(
        self, store: Store, topic: str, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._topic, self._seconds, self._clock = store, topic, seconds, clock
        self._folder = f"{INNER}/leases/{topic}"
        self._token = secrets.token_hex(8)
        self._seen: tuple[int, float] | None = None
        """The other one's mark, and since when it is the newest."""
        self._number = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = get_logger("archive").bind(topic=topic)
        self.lost = False
        """Whether another one has taken it."""

    def take(self) -> Mark | None:
        """Try to take it.

        Returns:
            None where it is ours now; else who has it. Ask again: after enough silence it is taken.

        Raises:
            StoreError: The store can't be read or written.
        """
        newest = self._newest()
        if newest is not None and newest.holder:
            now = self._clock()
            if self._seen is None or self._seen[0] != newest.number:
                self._seen = (newest.number, now)
            if now - self._seen[1] < self._seconds:
                return newest
            self._log.warning(
                "the archiver of this topic gives no sign any more; it is taken over", holder=newest.holder
            )
        number = 1 if newest is None else newest.number + 1
        if not self._mark(number, held=True):
            return self._newest() or Mark(number, "somebody", "")
        # Old marks are removed: one that slept for long may have made one that nobody looks at.
        after = self._newest()
        if after is None or after.number != number:
            return after or Mark(number, "somebody", "")
        self._number, self.lost, self._seen = number, False, None
        self._over.clear()
        self._thread = threading.Thread(target=self._keep, name=f"tidemill-archive-lease-{self._topic}", daemon=True)
        self._thread.start()
        self._tidy()
        return None

    def give_back(self) -> None:
        """Let others have it at once.

        Raises:
            StoreError: The store can't be written; then they have it after some silence.
        """
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self.lost:
            self._mark(self._number + 1, held=False)

    def _keep(self) -> None:
        while not self._over.wait(self._seconds / 4):
            try:
                if not self._mark(self._number + 1, held=True):
                    self.lost = True
                    return
                self._number += 1
                self._tidy()
            except StoreError as error:
                # If it lasts, another one takes over, and the log tells the two apart.
                self._log.warning("the lease couldn't be renewed", error=str(error))

    def _mark(self, number: int, *, held: bool) -> bool:
        holder = f"{socket.gethostname()}:{os.getpid()}" if held else ""
        data = json.dumps({"holder": holder, "token": self._token}).encode()
        name = f"{self._folder}/{number:012}.json"
        if self._store.claim(name, data):
            return True
        found = self._read(self._store.uri(name), number)
        return found is not None and found.token == self._token and bool(found.holder) == held

    def _numbers(self) -> list[tuple[int, str]]:
        above = len(self._store.uri(self._folder)) + 1
        return sorted((int(found.uri[above:].partition(".")[0]), found.uri) for found in self._store.list(self._folder))

    def _newest(self) -> Mark | None:
        for number, uri in reversed(self._numbers()):
            found = self._read(uri, number)
            if found is not None:
                return found
        return None

    def _read(self, uri: str, number: int) -> Mark | None:
        try:
            found = json.loads(self._store.read(uri, MOST_BYTES))
            return Mark(number, found["holder"], found["token"])
        except ObjectMissing:
            return None

    def _tidy(self) -> None:
        for number, uri in self._numbers():
            if number <= self._number - KEPT:
                self._store.delete(uri)
