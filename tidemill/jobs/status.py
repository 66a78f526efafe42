"""What is told of a job: plain values, made by `reading` from the tracker's tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidemill.jobs.state import State


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handler is, as it says itself."""

    done: int | None = None
    """In units of `unit`."""
    total: int | None = None
    """None: not known."""
    unit: str | None = None
    """What is counted, e.g. `rows`."""
    note: str | None = None
    """What it is at, for a person."""

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1; None where it can't be told."""
        if self.done is None or not self.total or self.total < 0:
            return None
        return min(1.0, max(0.0, self.done / self.total))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event has failed, and where its dead letter lies."""

    event: str
    """The event's id."""
    type: str | None
    stream: str
    error: str
    """The error's class."""
    message: str
    attempts: int
    """Tries made; 0 where it could not even be decoded."""
    topic: str
    """Of the dead letter, with the namespace."""
    partition: int
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True)
class JobResult:
    """An event that came of a job and that no stream takes: what the job was for."""

    id: str
    type: str
    payload: Any
    """As JSON has it; None where it was larger than the tracker keeps, or could not be read."""
    at: datetime


@dataclass(frozen=True, slots=True)
class EventStatus:
    """One event of a job."""

    id: str
    type: str | None
    """None where only what came of it is known."""
    cause: str | None
    """Id of the event whose handler published it."""
    state: State
    created_at: datetime | None
    """When it was published; None where it hasn't been read yet."""
    updated_at: datetime
    """When the last thing known of it happened, by the clock of whoever said so."""
    stream: str | None = None
    """Which stream the rest is about."""
    attempt: int | None = None
    since: datetime | None = None
    """running: when a handler was first at it."""
    until: datetime | None = None
    """delayed, waiting: when it is due."""
    why: str | None = None
    """waiting, failed, cancelled: the reason."""
    progress: Progress | None = None
    failure: Failure | None = None
    result: JobResult | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON data; times in RFC 3339."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job is."""

    id: str
    """The id of the event that everything began with."""
    type: str | None
    """Its type; None where it hasn't been read yet, or isn't in Kafka any more."""
    state: State
    created_at: datetime
    updated_at: datetime
    events: int
    """How many events there are so far."""
    finished_events: int
    lead: EventStatus
    """The event that decides the state: of several, the one that said something last."""
    results: tuple[JobResult, ...] = ()
    """The first `MOST_RESULTS` of them, oldest first."""
    failures: tuple[Failure, ...] = ()
    """The last `MOST_FAILURES` of them, newest first."""
    cancel_asked_by: str | None = None
    """Who has asked for it to be given up, whether or not that came in time."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless a person does something."""
        return self.state.is_finished

    @property
    def why(self) -> str | None:
        """waiting, failed, cancelled: the reason."""
        return self.lead.why

    @property
    def progress(self) -> Progress | None:
        """running: how far it is, if its handler says so."""
        return self.lead.progress

    @property
    def result(self) -> Any:
        """Payload of the only result; None where there is none, or more than one."""
        return self.results[0].payload if len(self.results) == 1 else None

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON data; times in RFC 3339."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, JobResult):
        # A payload is JSON data already.
        return {"id": value.id, "type": value.type, "payload": value.payload, "at": value.at.isoformat()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


MOST_RESULTS = 100
MOST_FAILURES = 20
