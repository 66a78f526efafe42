"""What readers ask the tables of jobs, and how rows become what they are told. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, case, desc, select

from tidemill.jobs.state import ORDER, State
from tidemill.jobs.status import (
    MOST_FAILURES,
    MOST_RESULTS,
    EventStatus,
    Failure,
    JobResult,
    JobStatus,
    Progress,
)
from tidemill.jobs.tables import EVENTS, JOBS

FEW_EVENTS = 20
"""A job that has no more is told of all its events at once, below every limit of what is told."""

_SHOWN = [
    EVENTS.c[name]
    for name in ("event_id", "job_id", "type", "cause", "state", "created_ms", "updated_ms", "detail", "payload")
]


def job_glance(connection: Connection, job_id: str) -> tuple[State, int, int, int] | None:
    """State of a job, time of the last change, number of events and of finished ones; None where it isn't known."""
    columns = select(JOBS.c.state, JOBS.c.updated_ms, JOBS.c.events, JOBS.c.finished)
    row = connection.execute(columns.where(JOBS.c.job_id == job_id)).first()
    return None if row is None else (State(row.state), row.updated_ms, row.events, row.finished)


def job_glances(connection: Connection, job_ids: Collection[str]) -> dict[str, tuple[State, int, int, int]]:
    """What `job_glance` tells, of many jobs in one query; those that aren't known are left out.

    Args:
        connection: To the tables.
        job_ids: As the tables have them, some thousands at most: each is a parameter of the statement.
    """
    columns = select(JOBS.c.job_id, JOBS.c.state, JOBS.c.updated_ms, JOBS.c.events, JOBS.c.finished)
    rows = connection.execute(columns.where(JOBS.c.job_id.in_(job_ids)))
    return {row.job_id: (State(row.state), row.updated_ms, row.events, row.finished) for row in rows}


def job_of(connection: Connection, event_id: str) -> str | None:
    """The job that an event belongs to; None where it isn't known."""
    statement = select(EVENTS.c.job_id).where(EVENTS.c.event_id == event_id, EVENTS.c.state.is_not(None))
    found: str | None = connection.scalars(statement.order_by(EVENTS.c.job_id)).first()
    return found


def job_status(connection: Connection, job_id: str) -> JobStatus | None:
    """Where a job is, with its results and failures; None where it isn't known."""
    row = connection.execute(select(JOBS).where(JOBS.c.job_id == job_id)).first()
    if row is None:
        return None
    done = _events(connection, job_id, [State.DONE], oldest_first=True, limit=MOST_RESULTS, only_results=True)
    failed = _events(connection, job_id, [State.FAILED], oldest_first=False, limit=MOST_FAILURES)
    return _job(
        row,
        lead=_lead(connection, job_id, State(row.state)),
        results=[event.result for event in done if event.result is not None],
        failures=[event.failure for event in failed if event.failure is not None],
        cancel_asked_by=_cancel_asked_by(connection, job_id),
    )


def job_statuses(connection: Connection, job_ids: Collection[str]) -> dict[str, JobStatus]:
    """What `job_status` tells, of many jobs in two queries, but for those that have many events.

    Args:
        connection: To the tables.
        job_ids: As the tables have them, some thousands at most; those that aren't known are left out.
    """
    jobs = connection.execute(select(JOBS).where(JOBS.c.job_id.in_(job_ids))).all()
    few = [row.job_id for row in jobs if row.events <= FEW_EVENTS]
    rows: dict[str, list[Row[Any]]] = {job_id: [] for job_id in few}
    for row in connection.execute(select(*_SHOWN).where(EVENTS.c.job_id.in_(few), EVENTS.c.state.is_not(None))):
        rows[row.job_id].append(row)
    found = {}
    for job in jobs:
        status = _of_few(job, rows[job.job_id]) if job.job_id in rows else job_status(connection, job.job_id)
        if status is not None:
            found[job.job_id] = status
    return found


def events_of(connection: Connection, job_id: str, limit: int) -> tuple[EventStatus, ...]:
    """Events of a job, oldest first; of more than `limit`, those that are unfinished or failed."""
    return tuple(_events(connection, job_id, list(State), oldest_first=True, limit=limit))


def jobs_listed(
    connection: Connection, *, states: Collection[State], job_type: str | None, since: datetime | None, limit: int
) -> list[JobStatus]:
    """Jobs without their results, those to which something happened last first.

    Args:
        states: Only these; empty for all.
        job_type: Only those that began with an event of this type.
        since: Only those to which something happened since.
        limit: At most so many.
    """
    statement = select(JOBS).order_by(JOBS.c.updated_ms.desc(), JOBS.c.job_id).limit(limit)
    if states:
        statement = statement.where(JOBS.c.state.in_([state.value for state in states]))
    if job_type is not None:
        statement = statement.where(JOBS.c.type == job_type)
    if since is not None:
        statement = statement.where(JOBS.c.updated_ms >= round(since.timestamp() * 1000))
    return [
        _job(row, lead=_lead(connection, row.job_id, State(row.state))) for row in connection.execute(statement).all()
    ]


def _of_few(job: Row[Any], rows: list[Row[Any]]) -> JobStatus:
    """A job of all its events, which are so few that no limit counts; as `job_status` tells it."""
    shown = {row.event_id for row in rows if row.payload is not None or row.detail is None}
    newest = sorted(map(_event, rows), key=lambda event: event.id)
    newest.sort(key=lambda event: event.updated_at, reverse=True)
    oldest = sorted(newest, key=_age)
    first = [json.loads(row.detail) for row in rows if row.event_id == job.job_id and row.detail]
    return _job(
        job,
        lead=next(event for event in newest if event.state == job.state),
        results=[event.result for event in oldest if event.result is not None and event.id in shown],
        failures=[event.failure for event in newest if event.state is State.FAILED and event.failure is not None],
        cancel_asked_by=first[0].get("cancel_asked_by") if first else None,
    )


def _age(event: EventStatus) -> tuple[datetime, str]:
    return event.created_at or event.updated_at, event.id


def _job(
    row: Row[Any],
    *,
    lead: EventStatus,
    results: Sequence[JobResult] = (),
    failures: Sequence[Failure] = (),
    cancel_asked_by: str | None = None,
) -> JobStatus:
    return JobStatus(
        id=row.job_id,
        type=row.type,
        state=State(row.state),
        created_at=_moment(row.created_ms),
        updated_at=_moment(row.updated_ms),
        events=row.events,
        finished_events=row.finished,
        lead=lead,
        results=tuple(results),
        failures=tuple(failures),
        cancel_asked_by=cancel_asked_by,
    )


def _lead(connection: Connection, job_id: str, state: State) -> EventStatus:
    return _events(connection, job_id, [state], oldest_first=False, limit=1)[0]


def _events(
    connection: Connection,
    job_id: str,
    states: Collection[State],
    *,
    oldest_first: bool,
    limit: int,
    only_results: bool = False,
) -> list[EventStatus]:
    statement = select(*_SHOWN).where(EVENTS.c.job_id == job_id, EVENTS.c.state.in_([each.value for each in states]))
    if only_results:
        statement = statement.where(EVENTS.c.payload.is_not(None) | EVENTS.c.detail.is_(None))
    # Of too many, what is unfinished or has failed comes before what is done.
    rank = case({state.value: number for state, number in ORDER.items()}, value=EVENTS.c.state)
    statement = statement.order_by(rank, desc(EVENTS.c.updated_ms), EVENTS.c.event_id).limit(limit)
    if only_results:
        statement = statement.order_by(None).order_by(EVENTS.c.updated_ms, EVENTS.c.event_id)
    events = [_event(row) for row in connection.execute(statement)]
    if oldest_first:
        events.sort(key=_age)
    return events


def _cancel_asked_by(connection: Connection, job_id: str) -> str | None:
    statement = select(EVENTS.c.detail).where(EVENTS.c.event_id == job_id, EVENTS.c.job_id == job_id)
    detail = connection.scalars(statement).first()
    asked: str | None = json.loads(detail).get("cancel_asked_by") if detail else None
    return asked


def _event(row: Row[Any]) -> EventStatus:
    said = json.loads(row.detail) if row.detail else {}
    updated_at = _moment(row.updated_ms)
    created_at = None if row.created_ms is None else _moment(row.created_ms)
    progress = said.get("progress")
    return EventStatus(
        id=row.event_id,
        type=row.type,
        cause=row.cause,
        state=State(row.state),
        created_at=created_at,
        updated_at=updated_at,
        stream=said.get("stream"),
        attempt=said.get("attempt"),
        since=_optional_moment(said.get("since_ms")),
        until=_optional_moment(said.get("until_ms")),
        why=said.get("why"),
        progress=None if progress is None else Progress(**progress),
        failure=_failure(row, said),
        result=_result(row, said, created_at or updated_at),
    )


def _failure(row: Row[Any], said: dict[str, Any]) -> Failure | None:
    letter = said.get("letter")
    if letter is None:
        return None
    return Failure(
        event=row.event_id,
        type=row.type,
        stream=said["stream"],
        error=letter["error"],
        message=letter["message"],
        attempts=letter["attempts"],
        topic=letter["topic"],
        partition=letter["partition"],
        offset=letter["offset"],
        at=_moment(letter["at_ms"]),
    )


def _result(row: Row[Any], said: dict[str, Any], at: datetime) -> JobResult | None:
    """An event that is done although no stream has done it was what the job was for."""
    if row.state != State.DONE or "stream" in said or row.type is None:
        return None
    return JobResult(row.event_id, row.type, None if row.payload is None else json.loads(row.payload), at)


def _optional_moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _moment(milliseconds)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
