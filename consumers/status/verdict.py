"""From what is known of an event to its state. Computes only, and gives the same for the same facts.

A success stays one, whatever comes after it: a replay of a job that is done doesn't make it unfinished. A dead letter
answers one delivery; an event that was published again after it is on its way again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consumers.status.awaited import Awaited, Expected
from consumers.status.facts import Facts, Letter, Parcel, Report, StreamFacts
from tidemill.jobs.state import ORDER, State

DISPATCHED = "dispatched"
_TO_COME, _HERE, _AT_WORK = range(3)
"""Where an event is within one try, in the order in which it gets there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of an event, and what there is to say about it."""

    state: State
    stream: str | None = None
    attempt: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    why: str | None = None
    report: Report | None = None
    letter: Letter | None = None


def verdict(facts: Facts, awaited: Awaited) -> Verdict | None:
    """The state of an event; None where nothing is known of it but that others refer to it.

    Args:
        facts: What is known of it.
        awaited: Which streams take its type.
    """
    expected = awaited.of(facts.type)
    found = [
        one for name in sorted({*expected, *facts.streams}) if (one := _of_stream(name, facts, expected)) is not None
    ]
    if found:
        return min(found, key=lambda one: ORDER[one.state])
    if facts.deliveries:
        return Verdict(State.DONE)
    return None if facts.delay is None else _delayed(facts.delay)


def _delayed(delay: Parcel) -> Verdict:
    if not delay.outcome:
        return Verdict(State.DELAYED, until_ms=delay.due_ms)
    if delay.outcome == DISPATCHED:
        return Verdict(State.QUEUED)
    return Verdict(State.CANCELLED, why=_removed(delay))


def _of_stream(name: str, facts: Facts, expected: Mapping[str, Expected]) -> Verdict | None:
    """What one stream makes of the event; None where it says nothing, and nothing is expected of it."""
    mine = facts.streams.get(name, StreamFacts())
    if mine.is_done or _has_published(name, facts, expected):
        return Verdict(State.DONE, name)
    if mine.cancelled is not None:
        return Verdict(State.CANCELLED, name, why=mine.cancelled.why)
    if mine.letter is not None and all(
        offset <= mine.answered.get(place, -1) for place, offset in facts.deliveries.items()
    ):
        why = f"{mine.letter.error.rpartition('.')[2]}: {mine.letter.message}"
        return Verdict(State.FAILED, name, mine.letter.attempts, why=why, letter=mine.letter)
    steps = _steps(name, mine, is_here=bool(facts.deliveries))
    told = len(steps) > bool(facts.deliveries)
    if not told and (name not in expected or not expected[name].tells):
        return None
    return max(steps, key=lambda step: step[0])[1] if steps else None


def _has_published(name: str, facts: Facts, expected: Mapping[str, Expected]) -> bool:
    if not facts.outputs or facts.type is None:
        return False
    if len({*expected, *facts.streams}) == 1:
        return True
    mine = expected[name].outputs if name in expected else frozenset()
    others = frozenset().union(*(each.outputs for other, each in expected.items() if other != name))
    return bool(facts.outputs & mine if mine else facts.outputs - others)


def _steps(name: str, mine: StreamFacts, *, is_here: bool) -> list[tuple[tuple[int, int], Verdict]]:
    """Where the event was seen, each with its place in the course of tries: number of the try, and where within it."""
    steps = [((1, _HERE), Verdict(State.QUEUED, name))] if is_here else []
    answered = max(mine.answered.values(), default=-1)
    if mine.back is not None and mine.back.delivery > answered:
        number = mine.back.attempt
        steps.append(((number, _HERE), Verdict(State.QUEUED, name, number)))
    report = mine.report
    if report is not None and mine.letter is not None and report.at_ms <= mine.letter.at_ms:
        report = None  # Of tries that have ended in the dead letter.
    if report is not None and report.state == "running":
        about = Verdict(State.RUNNING, name, report.attempt, mine.begun_ms, report=report)
        steps.append(((report.attempt, _AT_WORK), about))
    if report is not None and report.state == "waiting":
        about = Verdict(State.WAITING, name, report.attempt, until_ms=report.due_ms, why=report.error)
        steps.append(((report.attempt + 1, _TO_COME), about))
    if mine.retry is not None and mine.retry.delivery > answered:
        _, number, parcel = mine.retry
        if not parcel.outcome:
            why = report.error if report is not None and report.state == "waiting" else None
            about = Verdict(State.WAITING, name, number - 1, until_ms=parcel.due_ms, why=why)
            steps.append(((number, _TO_COME), about))
        elif parcel.outcome == DISPATCHED:
            steps.append(((number, _HERE), Verdict(State.QUEUED, name, number)))
        else:
            steps.append(((number, _HERE), Verdict(State.CANCELLED, name, number - 1, why=_removed(parcel))))
    return steps


def _removed(parcel: Parcel) -> str:
    return f"taken off schedule.delayed by {parcel.by or 'an unknown hand'}"
