"""What `tidemill delayed` says: how an event has ended, what became of a request, and how long something takes.

Computes only. Exit statuses belong to what is said, and so are decided here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scheduler.delays.requests import Answer, Outcome, Wish

if TYPE_CHECKING:
    from scheduler.delays.asking import Asked
    from scheduler.delays.waiting import Waiting

UNANSWERED, OTHERWISE, ABSENT = 3, 4, 5
"""Exit statuses: no answer in time; it went the other way; no such event."""


def verdict(wish: Wish, event_id: str, asked: Asked, outcome: Outcome | None, timeout: float) -> tuple[int, str]:
    """Exit status of a request's command, and what it says.

    Args:
        wish: What was asked.
        event_id: Of which event.
        asked: The answer.
        outcome: Where no such event waited: what had become of it, if that is known.
        timeout: How long was waited for an answer, seconds.
    """
    fulfilled = Answer.CANCELLED if wish is Wish.CANCEL else Answer.DISPATCHED
    match asked.answer:
        case None:
            return UNANSWERED, (
                f"No scheduler has answered within {timeout:g} s. The request to {wish} {event_id} is written and "
                "stays: the next scheduler that runs does it, if the event still waits then."
            )
        case Answer.CANCELLED:
            return 0, f"cancelled: {event_id} will not be dispatched."
        case Answer.DISPATCHED:
            return 0, f"dispatched: {event_id} is in its topic now."
        case Answer.REFUSED:
            return 1, f"not dispatched: {event_id} waits on. {asked.reason}"
        case Answer.ABSENT:
            status = ABSENT if outcome is None else 0 if outcome.kind is fulfilled else OTHERWISE
            return status, end_of(event_id, outcome)


def end_of(event_id: str, outcome: Outcome | None) -> str:
    """How an event has ended that doesn't wait."""
    if outcome is None:
        return f"No such event waits: {event_id}. It never did, or it was dispatched or cancelled more than a day ago."
    at = "" if outcome.at is None else f" at {outcome.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    if outcome.kind is Answer.DISPATCHED:
        return f"dispatched already{at} to {outcome.topic}: {event_id}"
    return f"cancelled already{at} by {outcome.by}: {event_id}"


def due_in(event: Waiting, now: datetime) -> str:
    """How long until an event is due, or since when it should have gone."""
    seconds = (event.due - now).total_seconds()
    return span(seconds) if seconds >= 0 else f"{span(-seconds)} overdue"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    unit, size, smaller, part = next(scale for scale in _SCALES if whole >= scale[1])
    rest = whole % size // part
    return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"


_SCALES = (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1))
"""Unit and its seconds, the next smaller one and its seconds."""
