"""The ledger as a process uses it: requests of all handlers go through one thread, in as few transactions as they can.

So a process needs one connection, and a commit, which costs a flush to the disk, is shared by all that wait for one.
The thread also gives the sign of life while an effect is under way, and deletes what is too old. How an effect has
ended is kept here until it is written, however long the ledger is away.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tidemill.errors import LedgerUnavailable
from tidemill.runtime.effects.claims import Answer, Claim, Settlement
from tidemill.runtime.effects.entry import EffectName, Ending, Policy, brief_note
from tidemill.runtime.effects.owner import this_process
from tidemill.runtime.effects.pulse import BEATS_PER_LEASE, Pulses
from tidemill.runtime.effects.ticket import STOPPED, Ticket
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.effects.database import Database

MOST_PER_TRANSACTION = 256
CLEAN_EVERY_SECONDS = 600.0
DEADLOCK = "40P01"
"""PostgreSQL's `deadlock_detected`: this transaction was ended so that another could go on."""
MOST_DEADLOCKS = 3
CLEAN_MOST = 500
"""Effects that are deleted in one transaction."""
DAY_MS = 24 * 3600 * 1000

_Settlements = Mapping[int, tuple[Settlement, "Future[None]"]]


class DatabaseLedger:
    """The ledger in a database; a `Ledger` for `work.once`.

    Args:
        settings: Where it is, and its times. Nothing is opened before the first request.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = this_process()
        self._pulses = Pulses(settings.effects_lease_seconds)
        self._beat_seconds = settings.effects_lease_seconds / BEATS_PER_LEASE
        self._keep_ms = int(settings.effects_keep_days * DAY_MS)
        self._wake = threading.Condition()
        self._last_number = 0
        self._active: set[EffectName] = set()
        self._claims: deque[tuple[Claim, Future[Answer]]] = deque()
        self._settlements: dict[int, tuple[Settlement, Future[None]]] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._database: Database | None = None
        self._beats_at = 0.0
        self._cleans_at = time.monotonic() + self._beat_seconds
        self._log = get_logger("effects")

    def enter(self, name: EffectName) -> Ticket | None:
        """As `Ledger.enter`."""
        with self._wake:
            if name in self._active:
                return None
            self._active.add(name)
            self._last_number += 1
            return Ticket(name, self._last_number)

    def claim(self, ticket: Ticket, policy: Policy) -> Future[Answer]:
        """As `Ledger.claim`; the future may raise LedgerUnavailable."""
        answer = _running(Future[Answer]())
        ticket.settled = False
        with self._wake:
            self._claims.append((Claim(ticket.name, policy, ticket.number), answer))
            self._call()
        return answer

    def settle(
        self, ticket: Ticket, state: Ending, *, result: str | None = None, note: str | None = None
    ) -> Future[None]:
        """As `Ledger.settle`; the future may raise LedgerUnavailable."""
        written = _running(Future[None]())
        settlement = Settlement(ticket.name, ticket.number, state, result, brief_note(note) if note else None)
        with self._wake:
            self._settlements[ticket.number] = (settlement, written)
            self._call()
        ticket.settled = True
        return written

    def leave(self, ticket: Ticket) -> None:
        """As `Ledger.leave`."""
        if not ticket.settled:
            self.settle(ticket, ticket.state_when_stopped, note=STOPPED)
        with self._wake:
            self._active.discard(ticket.name)

    def close(self, timeout_seconds: float) -> None:
        """As `Ledger.close`."""
        with self._wake:
            self._closing = True
            thread = self._thread
            self._wake.notify()
        if thread is not None:
            thread.join(timeout_seconds)

    def _call(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="tidemill-effects", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _serve(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._is_called, self._pause_seconds())
                claims = [self._claims.popleft() for _ in range(min(len(self._claims), MOST_PER_TRANSACTION))]
                # All of them: a claim must not come before the end of an earlier try at the same effect.
                settlements = dict(self._settlements)
                closing = self._closing
            is_there = self._transact(claims, settlements)
            with self._wake:
                # What can't be written now is found by whoever comes next, as an effect that was begun.
                if closing and not self._claims and (not self._settlements or not is_there):
                    self._thread = None
                    break
        self._part(is_there)

    def _is_called(self) -> bool:
        # Of settlements that could not be written the callers have been told; they go along with the next beat.
        return bool(self._claims) or self._closing or any(not done.done() for _, done in self._settlements.values())

    def _pause_seconds(self) -> float | None:
        return self._beat_seconds if self._active or self._settlements or self._pulses.watched() else None

    def _transact(self, claims: Sequence[tuple[Claim, Future[Answer]]], settlements: _Settlements) -> bool:
        """Do what was asked for; returns whether the ledger was there."""
        try:
            answers = self._run([each for each, _ in claims], [each for each, _ in settlements.values()])
        except Exception as error:  # noqa: BLE001 - told to all that wait for it; this thread serves the next ones
            if not isinstance(error, LedgerUnavailable):
                self._log.critical("the ledger of effects failed by an error of the runtime", exc_info=True)
            waits: list[Future[Any]] = [answer for _, answer in claims]
            for waiting in (*waits, *(done for _, done in settlements.values())):
                if not waiting.done():
                    waiting.set_exception(error)
            return False
        with self._wake:
            for number in settlements:
                del self._settlements[number]
        for _, done in settlements.values():
            if not done.done():
                done.set_result(None)
        for (_, answer), said in zip(claims, answers, strict=True):
            answer.set_result(said)
        self._clean()
        return True

    def _run(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> list[Answer]:
        for _ in range(MOST_DEADLOCKS):
            try:
                return self._run_once(claims, settlements)
            except LedgerUnavailable as error:
                # A database that was restarted closes connections that are looked at only when they are used. And where
                # two processes end what the other one claims, PostgreSQL lets one of them go through.
                cause = error.__cause__
                is_deadlock = getattr(getattr(cause, "orig", None), "sqlstate", None) == DEADLOCK
                if not is_deadlock and not getattr(cause, "connection_invalidated", False):
                    raise
        return self._run_once(claims, settlements)

    def _run_once(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> list[Answer]:
        with self._opened().transaction() as connection:
            from tidemill.runtime.effects import batch

            now = time.monotonic()
            is_due = now >= self._beats_at
            if is_due:
                batch.beat(connection, self._owner, self._pulses)
            batch.settle(connection, self._owner, settlements)
            answers = batch.claim(connection, self._owner, claims, self._pulses)
        if is_due:
            self._beats_at = now + self._beat_seconds * 0.9
        return answers

    def _opened(self) -> Database:
        if self._database is None:
            from tidemill.runtime.effects.database import Database

            self._database = Database(self._settings)
        return self._database

    def _clean(self) -> None:
        now = time.monotonic()
        if now < self._cleans_at:
            return
        from tidemill.runtime.effects import batch

        try:
            with self._opened().transaction() as connection:
                deleted = batch.clean(connection, self._keep_ms, CLEAN_MOST)
        except LedgerUnavailable as error:
            self._log.warning("old effects could not be deleted", error=str(error))
            deleted = 0
        self._cleans_at = now + (self._beat_seconds if deleted == CLEAN_MOST else CLEAN_EVERY_SECONDS)

    def _part(self, is_there: bool) -> None:
        """Leave nothing behind that others would wait for."""
        if self._database is None:
            return
        if is_there:
            from tidemill.runtime.effects import batch

            try:
                with self._database.transaction() as connection:
                    batch.leave(connection, self._owner)
            except LedgerUnavailable as error:
                self._log.debug("could not take leave of the ledger", error=str(error))
        self._beats_at = 0.0
        self._database.close()


def _running(future: Future[Any]) -> Future[Any]:
    """From now on it can't be cancelled: what was asked for is done, whoever still waits for it."""
    future.set_running_or_notify_cancel()
    return future
