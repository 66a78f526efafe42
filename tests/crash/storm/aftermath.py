"""Aftermaths: how soon a struck worker's partitions went on, and what of its events ran again. Computes only."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.crash.storm.acts import Victim
from tests.crash.storm.evidence import Evidence
from tests.crash.storm.ledgers import Handled

Place = tuple[str, int]
"""A stream and a partition of its topic."""


@dataclass(frozen=True)
class Aftermath:
    """What followed when a worker process was struck.

    Args:
        victim: It.
        go_on_seconds: Until an event of each partition that it had was finished elsewhere (for one that waited then, or
            from when one waited): of these the longest. None where it had none with anything to do.
        in_work: Events that it had begun and not finished.
        finished_again: Events that it had finished, and that ran again elsewhere later.
    """

    victim: Victim
    go_on_seconds: float | None
    in_work: int
    finished_again: int


def aftermaths(evidence: Evidence, victims: Sequence[Victim]) -> list[Aftermath]:
    """What followed, for each victim."""
    histories = _histories(evidence.handled)
    waits = _waits(evidence)
    by_worker: dict[int, list[Handled]] = defaultdict(list)
    starts: dict[str, list[Handled]] = defaultdict(list)
    for entry in evidence.handled:
        by_worker[entry.worker].append(entry)
        if entry.mark == "START":
            starts[entry.id].append(entry)
    found = []
    for victim in victims:
        done: set[str] = set()
        begun: set[str] = set()
        for entry in by_worker[victim.worker]:
            if entry.time_seconds <= victim.time_seconds:
                (done if entry.mark == "DONE" else begun).add(entry.id)
        again = {
            event_id
            for event_id in done
            if any(
                each.time_seconds > victim.time_seconds and each.worker != victim.worker for each in starts[event_id]
            )
        }
        spans = [
            span
            for place, history in histories.items()
            if (span := _go_on(victim, history, waits.get(place, []))) is not None
        ]
        found.append(Aftermath(victim, max(spans, default=None), len(begun - done), len(again)))
    return found


def _waits(evidence: Evidence) -> dict[Place, list[tuple[float, float]]]:
    """By stream and partition, from when to when each acknowledged event waited for its first completion."""
    found: dict[Place, list[tuple[float, float]]] = defaultdict(list)
    for event_id in evidence.acknowledged - evidence.to_be_buried:
        asked = evidence.asked[event_id]
        done = evidence.done.get(event_id)
        until = done.time_seconds if done is not None else float("inf")
        found[asked.stream, asked.partition].append((evidence.asked_at[event_id], until))
    return found


def _histories(handled: Iterable[Handled]) -> dict[Place, list[Handled]]:
    found: dict[Place, list[Handled]] = defaultdict(list)
    for entry in handled:
        found[entry.stream, entry.partition].append(entry)
    for history in found.values():
        history.sort(key=_time)
    return found


def _time(entry: Handled) -> float:
    return entry.time_seconds


def _go_on(victim: Victim, history: list[Handled], waits: list[tuple[float, float]]) -> float | None:
    """Seconds until one partition went on; None where it wasn't the victim's, or nothing waited any more."""
    struck = bisect_right(history, victim.time_seconds, key=_time)
    if not struck or history[struck - 1].worker != victim.worker:
        return None
    waiting_since = min((start for start, until in waits if until > victim.time_seconds), default=None)
    if waiting_since is None:
        return None
    since = max(victim.time_seconds, waiting_since)
    # After SIGTERM it finishes what runs itself: only another one's work tells that the partition went on.
    # After a pause it may be the one that goes on.
    for entry in history[bisect_right(history, since, key=_time) :]:
        if entry.mark == "DONE" and (entry.worker != victim.worker or victim.how == "pause"):
            return entry.time_seconds - since
    return float("inf")
