"""For the tests of handlers: a Work whose `once` keeps its ledger in memory. Same checks, same course, no database."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tidemill.config import load_settings
from tidemill.runtime.effects.claims import Answer, Begun, Busy, Held, Recorded
from tidemill.runtime.effects.decision import decide
from tidemill.runtime.effects.entry import EffectName, Ending, Entry, Policy, brief_note
from tidemill.runtime.effects.stream_effects import StreamEffects
from tidemill.runtime.effects.ticket import STOPPED, Ticket
from tidemill.runtime.work import Work

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.event import Event
    from tidemill.runtime.stream import Stream

__all__ = ["MemoryLedger", "memory_work"]

MEMORY = "memory"


class MemoryLedger:
    """A ledger of effects in memory. Give it to two calls of `memory_work` to see what a second run does."""

    def __init__(self) -> None:
        self._entries: dict[EffectName, Entry] = {}
        self._active: set[EffectName] = set()
        self._lock = threading.Lock()
        self._last_number = 0

    @property
    def entries(self) -> list[Entry]:
        """All effects so far, in the order in which they were begun first."""
        return list(self._entries.values())

    def enter(self, name: EffectName) -> Ticket | None:
        """As `Ledger.enter`."""
        with self._lock:
            if name in self._active:
                return None
            self._active.add(name)
            self._last_number += 1
            return Ticket(name, self._last_number)

    def claim(self, ticket: Ticket, policy: Policy) -> Future[Answer]:
        """As `Ledger.claim`, at once."""
        answer: Future[Answer] = Future()
        with self._lock:
            answer.set_result(self._claimed(ticket.name, policy))
        ticket.settled = False
        return answer

    def _claimed(self, name: EffectName, policy: Policy) -> Answer:
        entry = self._entries.get(name)
        # Whoever was at it in this process has left: its ticket was free.
        match decide(entry, policy, owner_is_dead=True) if entry is not None else "do":
            case "return" if entry is not None:
                return Recorded(entry.result, entry.note)
            case "hold" if entry is not None:
                return Held(entry)
            case "wait" if entry is not None:
                return Busy(entry.owner_name)
        attempt = entry.attempt + 1 if entry is not None else 1
        now_ms = time.time_ns() // 1_000_000
        self._entries[name] = Entry(
            name, "started", policy, attempt, MEMORY, MEMORY, None, None, now_ms, None, owner_beats=None
        )
        return Begun(attempt, entry)

    def settle(
        self, ticket: Ticket, state: Ending, *, result: str | None = None, note: str | None = None
    ) -> Future[None]:
        """As `Ledger.settle`, at once."""
        ticket.settled = True
        written: Future[None] = Future()
        with self._lock:
            self._entries[ticket.name] = replace(
                self._entries[ticket.name],
                state="failed" if state == "released" else state,
                result=result,
                note=brief_note(note) if note else None,
                finished_ms=time.time_ns() // 1_000_000,
            )
        written.set_result(None)
        return written

    def leave(self, ticket: Ticket) -> None:
        """As `Ledger.leave`."""
        if not ticket.settled:
            self.settle(ticket, ticket.state_when_stopped, note=STOPPED)
        with self._lock:
            self._active.discard(ticket.name)

    def close(self, timeout_seconds: float) -> None:
        """Nothing is open."""


def memory_work(
    stream: Stream,
    *events: Event[Any],
    attempt: int = 1,
    ledger: MemoryLedger | None = None,
    settings: Settings | None = None,
) -> Work:
    """A `Work` to call a stream's handler with, in a test of your own.

        ledger = MemoryLedger()
        receipt = charge(event, memory_work(charge, event, ledger=ledger))
        assert charge(event, memory_work(charge, event, ledger=ledger)) == receipt  # and nobody is charged twice

    Args:
        stream: The stream whose handler is called; says whether `once` is to be awaited.
        events: The event, or those of the batch.
        attempt: Which try it is.
        ledger: Where its effects are; by default a new one.
        settings: Default: from the environment (`load_settings`).
    """
    settings = settings if settings is not None else load_settings()
    effects = StreamEffects(
        settings.qualified(stream.group), stream.executor, ledger if ledger is not None else MemoryLedger()
    )
    work = Work(stream.name, attempt, stream.timeout, settings)
    work.provide(effects, events[0] if stream.batch is None and events else None)
    return work
