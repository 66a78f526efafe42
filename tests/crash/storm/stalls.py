"""Stalls: how long nothing was finished, and what was done meanwhile. Computes only.

A stall is a time in which no event was finished anywhere although one was waiting, from the moment it was handed to the
publisher: it counts as waiting while its broker is away, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.crash.storm.acts import Act
from tests.crash.storm.evidence import Evidence

LEAST_STALL_SECONDS = 1.0
"""A shorter silence is none."""
AFTERMATH_SECONDS = 2.0
"""A stall that begins so soon after an act is still laid to it."""


@dataclass(frozen=True)
class Stall:
    """Nothing was finished although something waited.

    Args:
        start_seconds, end_seconds: From when to when, as the ledgers' times.
        during: Acts that went on meanwhile, or had just ended.
    """

    start_seconds: float
    end_seconds: float
    during: tuple[Act, ...]

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end_seconds - self.start_seconds

    @property
    def most_seconds(self) -> float | None:
        """What is promised for the acts that went on; None where one of them may stop everything."""
        limits = [act.most_stall_seconds for act in self.during]
        if None in limits:
            return None
        return max((limit for limit in limits if limit is not None), default=5.0)


def stalls(evidence: Evidence, acts: Sequence[Act], end_seconds: float) -> list[Stall]:
    """All stalls of at least `LEAST_STALL_SECONDS`, up to the end of the storm."""
    marks = []
    for event_id, time in evidence.asked_at.items():
        marks.append((time, 1))
        done = evidence.done.get(event_id)
        if done is not None:
            marks.append((done.time_seconds, -1))
        elif event_id not in evidence.acknowledged or event_id in evidence.to_be_buried:
            # Never to be finished, so it doesn't wait for ever, either.
            marks.append((evidence.last_starts.get(event_id, time), -1))
    marks = [mark for mark in marks if mark[0] <= end_seconds]
    finishes = sorted(entry.time_seconds for entry in evidence.handled if entry.mark == "DONE")
    return [Stall(start, end, _during(start, end, acts)) for start, end in _silences(marks, finishes, end_seconds)]


def _silences(marks: list[tuple[float, int]], finishes: list[float], end: float) -> list[tuple[float, float]]:
    """Times without a finish in which something waited throughout."""
    found = []
    waiting = 0
    since = 0.0
    # Of marks at one time, those that come before those that go: something waits there throughout.
    for time, change in [*sorted(marks, key=lambda mark: (mark[0], -mark[1])), (end, 0)]:
        if waiting and (change == 0 or waiting + change == 0):
            found += _gaps(finishes, since, time)
        if not waiting:
            since = time
        waiting += change
    return found


def _gaps(finishes: list[float], start: float, end: float) -> list[tuple[float, float]]:
    between = finishes[bisect_right(finishes, start) : bisect_right(finishes, end)]
    edges = [start, *between, end]
    return [(a, b) for a, b in pairwise(edges) if b - a >= LEAST_STALL_SECONDS]


def _during(start: float, end: float, acts: Sequence[Act]) -> tuple[Act, ...]:
    return tuple(act for act in acts if act.start_seconds < end and act.end_seconds + AFTERMATH_SECONDS > start)
