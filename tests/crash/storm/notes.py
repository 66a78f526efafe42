"""What an event's note asks of its handler: to take so long, and perhaps to misbehave. Computes only."""

from __future__ import annotations

from enum import StrEnum
from random import Random

TIMEOUT_SECONDS = 4.0
"""Time limit of the handlers."""


class Doing(StrEnum):
    """How a handler behaves."""

    WELL = "well"
    REFUSE_ONCE = "refuse-once"
    """Raises in its first try."""
    REFUSE_ALWAYS = "refuse-always"
    """Raises in every try: a dead letter is expected."""
    HANG_ONCE = "hang-once"
    """Sleeps past its time limit in its first try."""
    SWALLOW_CANCELLATION = "swallow-cancellation"
    """Can't be stopped at its time limit, whatever happens: a dead letter is expected, and another worker process."""
    KILL_ITSELF_ONCE = "kill-itself-once"
    """Ends its own process in its first try; errands only."""
    EAT_MEMORY_ONCE = "eat-memory-once"
    """Takes more memory than it may in its first try; errands only."""


BURIED = frozenset({Doing.REFUSE_ALWAYS, Doing.SWALLOW_CANCELLATION})
"""What ends as a dead letter."""


def note(doing: Doing, milliseconds: int = 0) -> str:
    """The note that asks for this."""
    return f"{doing} {milliseconds}"


def wish(note: str) -> tuple[Doing, float]:
    """What a note asks for, and the seconds that the handler takes.

    Raises:
        ValueError: It isn't a note of ours.
    """
    doing, _, milliseconds = note.partition(" ")
    return Doing(doing), int(milliseconds) / 1000


def draw_parcel(luck: Random) -> str:
    """The note of a usual parcel: some milliseconds, now and then two seconds, now and then an exception."""
    roll = luck.random()
    if roll < 0.01:
        # Long enough that all events which its partition brings meanwhile are finished behind it.
        return note(Doing.WELL, 2000)
    doing = Doing.REFUSE_ONCE if roll < 0.02 else Doing.REFUSE_ALWAYS if roll < 0.022 else Doing.WELL
    return note(doing, luck.randrange(2, 60) if luck.random() < 0.8 else luck.randrange(60, 200))


def draw_errand(luck: Random) -> str:
    """The note of a usual errand."""
    roll = luck.random()
    doing = Doing.REFUSE_ONCE if roll < 0.02 else Doing.REFUSE_ALWAYS if roll < 0.025 else Doing.WELL
    return note(doing, luck.randrange(2, 40))
