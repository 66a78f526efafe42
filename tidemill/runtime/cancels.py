"""The jobs that somebody has cancelled, as far as this process knows. No I/O; used on the event loop alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.event import Event

if TYPE_CHECKING:
    from tidemill.events import JobCancel
    from tidemill.runtime.partition import Unit

MOST_JOBS = 100_000
"""How many are known at most, some 30 MB of them; then the oldest are forgotten."""
MOST_CHARACTERS = 500


class Cancels:
    """Cancelled jobs, each with who wants it and why.

    Args:
        most: How many to know.
    """

    def __init__(self, most: int = MOST_JOBS) -> None:
        self._most = most
        self._why: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._why)

    def add(self, job: str, why: str) -> None:
        """A job was cancelled; of several who ask, the first counts."""
        if job not in self._why and len(self._why) >= self._most:
            del self._why[next(iter(self._why))]
        self._why.setdefault(job, why)

    def why(self, unit: Unit) -> str | None:
        """Why a unit is to be given up: the reason for the first of its events with a cancelled job; None for none."""
        for message in unit.messages:
            why = self._why.get(Event.received(None, message).root)
            if why is not None:
                return why
        return None


def reason(cancel: JobCancel) -> str:
    """Who asks, and why, in one line."""
    parts = [f"by {cancel.by}" if cancel.by else "", cancel.why or ""]
    return ": ".join(" ".join(part.split()) for part in parts if part)[:MOST_CHARACTERS] or "no reason given"
