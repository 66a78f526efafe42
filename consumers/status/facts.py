"""What is known of one event, as a set of facts that only grows. Computes only.

Topics are read side by side, so a result may come before its request, and anything may come twice. Therefore what is
known has no order of its own: `join` is commutative, associative and idempotent, and its result depends on nothing but
the facts themselves (J1). Where one fact takes the place of another, the log they both lie in says which is later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Place = tuple[str, int]
"""Topic, with its namespace, and partition."""


class Parcel(NamedTuple):
    """A record on `schedule.delayed`; the last one of its key counts."""

    offset: int
    due_ms: int
    outcome: str = ""
    """What its tombstone tells: dispatched, cancelled, or removed by an unknown hand. Empty while it waits."""
    by: str = ""
    """Who has removed it."""


class Retry(NamedTuple):
    """A try that is put off: the last one of a stream's counts, by the delivery that failed and the try's number."""

    delivery: int
    """Offset that the event had in its topic."""
    attempt: int
    """Which try is to come."""
    parcel: Parcel


class Return(NamedTuple):
    """An event that came back on its stream's retry topic."""

    delivery: int
    attempt: int


class Report(NamedTuple):
    """What a stream says of itself (`job.progress`); the last one counts, and all of a job lie in one partition."""

    offset: int
    partition: int
    state: str
    attempt: int
    at_ms: int
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    note: str | None = None
    due_ms: int | None = None
    error: str | None = None


class Letter(NamedTuple):
    """A dead letter."""

    at_ms: int
    topic: str
    partition: int
    offset: int
    attempts: int
    error: str
    message: str


class GivenUp(NamedTuple):
    """That an event was given up, or that somebody asked for it; the first one counts."""

    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What is known of one stream's work on an event."""

    report: Report | None = None
    begun_ms: int | None = None
    """When a handler was first at it, as it says."""
    is_done: bool = False
    """Whether it has said so."""
    cancelled: GivenUp | None = None
    retry: Retry | None = None
    back: Return | None = None
    letter: Letter | None = None
    answered: Mapping[Place, int] = field(default_factory=dict)
    """The last delivery, by offset, that a dead letter is the answer to."""

    def join(self, other: StreamFacts) -> StreamFacts:
        """What both know."""
        return StreamFacts(
            _last(self.report, other.report, 2),
            _least(self.begun_ms, other.begun_ms),
            self.is_done or other.is_done,
            _first(self.cancelled, other.cancelled),
            _last(self.retry, other.retry, 3),
            _last(self.back, other.back, 2),
            _last(self.letter, other.letter, 4),
            _furthest(self.answered, other.answered),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one event."""

    updated_ms: int
    """Timestamp of the latest message that told something."""
    type: str | None = None
    cause: str | None = None
    created_ms: int | None = None
    payload: str | None = None
    """Of a result, as JSON."""
    deliveries: Mapping[Place, int] = field(default_factory=dict)
    """Where it lies in its topic: the last offset per partition."""
    delay: Parcel | None = None
    """How it waits before it is ever in its topic."""
    outputs: frozenset[str] = frozenset()
    """Types of the events that were published because of it."""
    cancel_asked: GivenUp | None = None
    """Of the event that a job began with."""
    streams: Mapping[str, StreamFacts] = field(default_factory=dict)

    def join(self, other: Facts) -> Facts:
        """What both know."""
        return Facts(
            max(self.updated_ms, other.updated_ms),
            _least(self.type, other.type),
            _least(self.cause, other.cause),
            _least(self.created_ms, other.created_ms),
            _least(self.payload, other.payload),
            _furthest(self.deliveries, other.deliveries),
            _last(self.delay, other.delay, 1),
            self.outputs | other.outputs,
            _first(self.cancel_asked, other.cancel_asked),
            {
                name: _both(self.streams.get(name), other.streams.get(name))
                for name in sorted({*self.streams, *other.streams})
            },
        )


def _both(one: StreamFacts | None, other: StreamFacts | None) -> StreamFacts:
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    return one.join(other)


def _last(one: Any, other: Any, fields: int) -> Any:
    """Of two the later one, by their first fields; where these are the same, so that only the rest can tell, any that
    is the same for either order."""
    if one is None or other is None:
        return one if other is None else other
    if one[:fields] != other[:fields]:
        return max(one, other, key=lambda fact: fact[:fields])
    return one if one == other else max(one, other, key=repr)


def _first(one: GivenUp | None, other: GivenUp | None) -> GivenUp | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _least(one: Any, other: Any) -> Any:
    return min((each for each in (one, other) if each is not None), default=None)


def _furthest(one: Mapping[Place, int], other: Mapping[Place, int]) -> Mapping[Place, int]:
    if not one or not other or one == other:
        return one or other
    return {place: max(one.get(place, -1), other.get(place, -1)) for place in sorted({*one, *other})}
