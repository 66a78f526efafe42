"""What a handler says of how far it is, thinned out: the first report at once, then the latest, twice a second at most.

Handlers call it from any thread of their process, as often as they like: it must cost next to nothing and fail none of
them. Who listens, and what becomes of a report there, is not known here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

EVERY_SECONDS = 0.5
"""Time between two reports of an event that are passed on."""


class ProgressReport(NamedTuple):
    """What a handler has said of an event with `Work.progress`."""

    done: int | None = None
    total: int | None = None
    unit: str | None = None
    note: str | None = None
    event_id: str | None = None
    """Whose progress it is; None where a test has made its `Work` without an event."""


class Listener(Protocol):
    """Takes reports, from any thread."""

    def take(self, work: object, report: ProgressReport) -> None:
        """A report of the handler that was given this `Work`, to be compared. Returns at once, raises nothing."""

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after so many seconds."""


class _Gate:
    """What is known of one event's reports."""

    __slots__ = ("closed_until", "latest", "waits")

    def __init__(self) -> None:
        self.closed_until = 0.0
        """When the next one may pass (time.monotonic())."""
        self.latest: ProgressReport | None = None
        self.waits = False
        """Whether the latest is passed on by itself once it may be."""


class Thinned:
    """Passes on the reports of one try.

    Args:
        work: The `Work` of that try.
        listener: Who gets them.
    """

    def __init__(self, work: object, listener: Listener) -> None:
        self._take = partial(listener.take, work)
        self._later = listener.later
        self._gates: dict[str | None, _Gate] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def put(self, report: ProgressReport) -> None:
        """Pass a report on, now or when it may be; a later one of the same event takes its place until then."""
        if os.getpid() != self._process:
            return  # A fork of the handler's process: the lock may be held there for ever, and the way out isn't its.
        with self._lock:
            gate = self._gates.get(report.event_id)
            if gate is None:
                gate = self._gates[report.event_id] = _Gate()
            if gate.waits:
                gate.latest = report
                return
            left_seconds = gate.closed_until - time.monotonic()
            if left_seconds > 0:
                gate.latest, gate.waits = report, True
            else:
                gate.closed_until = time.monotonic() + EVERY_SECONDS
        if left_seconds > 0:
            self._later(left_seconds, partial(self._open, gate))
        else:
            self._take(report)

    def _open(self, gate: _Gate) -> None:
        with self._lock:
            report, gate.latest, gate.waits = gate.latest, None, False
            gate.closed_until = time.monotonic() + EVERY_SECONDS
        if report is not None:
            self._take(report)
