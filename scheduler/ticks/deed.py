"""One transaction of ticks: the ticks, what they ask for, the times that got none, and where each job stands then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from scheduler.ticks.books import ANSWER, TICK, Emitted, Page, Ran, RunRequest, State, key_of, to_bytes
from scheduler.ticks.emitting import TickEvents
from scheduler.ticks.plan import Plan
from tidemill.publisher.preparing import Outgoing
from tidemill.transactions import Refused, Writer, Written


@dataclass
class JobDeed:
    """What is written for one job."""

    page: Page
    plan: Plan
    ticks: list[TickEvents]
    skips: list[Outgoing]
    state: State | None = None
    """Where the job stands afterwards; known once all of it has its place."""
    places: list[tuple[Written, Written | None]] = field(default_factory=list)
    """Where its ticks lie, and what they ask for."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    request: RunRequest
    text: str
    """`emitted`, or why not."""
    tick: str | None = None
    """The id of its tick."""


class TicksDeed:
    """Writes for some jobs.

    Args:
        topic: That of the books, with the namespace.
        partition: Of the books.
        jobs: What is written for each.
        answers: To requests, which are taken away with them.
        by: Which instance this is.
        done: Called when it is committed.
        refused: Called for each job of which something will never be taken, with the reason.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        jobs: Sequence[JobDeed],
        answers: Sequence[Answer],
        by: str,
        done: Callable[[Sequence[JobDeed], Sequence[Answer]], None],
        refused: Callable[[JobDeed, str], None],
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._jobs = jobs
        self._answers = answers
        self._by = by
        self._done = done
        self._refused = refused

    def write(self, writer: Writer) -> None:
        """As `Deed.write`."""
        for job in self._jobs:
            job.places = []
            for events in job.ticks:
                tick = _produce(writer, events.event)
                emit = None if events.emit is None else _produce(writer, events.emit)
                job.places.append((tick, emit))
            for skip in job.skips:
                _produce(writer, skip)
        for answer in self._answers:
            headers = [(ANSWER, answer.text.encode()), *([(TICK, answer.tick.encode())] if answer.tick else [])]
            writer.produce(self._topic, key_of("run", answer.request.id), None, headers, partition=self._partition)
        # Now it is known where everything lies, and that the brokers have it.
        writer.flush()
        for job in self._jobs:
            job.state = _state(job, self._by)
            key = key_of("state", job.page.name)
            writer.produce(self._topic, key, to_bytes(job.state), partition=self._partition)
        writer.flush()

    def written(self) -> None:
        """As `Deed.written`."""
        self._done(self._jobs, self._answers)

    def refused(self, refused: Refused) -> None:
        """As `Deed.refused`."""
        for job in self._jobs:
            for place in (place for places in job.places for place in places):
                if place is not None and place in refused.records:
                    self._refused(job, str(refused.records[place]))
                    break


def _produce(writer: Writer, message: Outgoing) -> Written:
    return writer.produce(message.topic, message.key, message.value, message.headers)


def _state(job: JobDeed, by: str) -> State:
    definition = job.page.definition
    assert definition is not None
    before = job.page.state or State(settled=definition.since)
    settled = max(before.settled, definition.since, job.plan.settled or before.settled)
    state = replace(before, settled=settled, skipped=job.plan.skipped)
    for events, (tick, emit) in zip(job.ticks, job.places, strict=True):
        state = replace(
            state,
            sequence=events.tick.sequence,
            ran=Ran(
                tick=_emitted(events.event, tick),
                scheduled_at=events.tick.scheduled_at,
                emitted_at=events.emitted_at,
                by=by,
                manual=events.tick.request is not None,
                emit=None if events.emit is None or emit is None else _emitted(events.emit, emit),
            ),
        )
    return state


def _emitted(message: Outgoing, written: Written) -> Emitted:
    return Emitted(message.id, message.topic, written.partition, written.offset)
