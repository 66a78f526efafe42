"""The states of an event and of a job, and how those of many events become one. Computes only."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """Where an event, or a job, is; in the order in which they count for a job of several events."""

    RUNNING = "running"
    """A handler is at it."""
    WAITING = "waiting"
    """A try has failed, the next one is due."""
    QUEUED = "queued"
    """In its topic, and nobody has said that it was begun."""
    DELAYED = "delayed"
    """Published to be done later, and not due yet."""
    FAILED = "failed"
    """A dead letter, until it is published again."""
    CANCELLED = "cancelled"
    """Given up because somebody asked for that."""
    DONE = "done"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless a person does something."""
        return self in _FINISHED


_FINISHED = frozenset({State.FAILED, State.CANCELLED, State.DONE})
ORDER = {state: number for number, state in enumerate(State)}


def together(states: Iterable[State]) -> State:
    """The state of a job whose events have these states: what is unfinished comes first, then what is worst.

    Raises:
        ValueError: There are none.
    """
    return min(states, key=ORDER.__getitem__)
