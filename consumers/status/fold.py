"""Writes what a batch tells into the tables of jobs: rows and offsets in one transaction of the caller's.

Several trackers may have events of one job at once. Each takes the job's row first, in one order, so that whoever comes
second sees what the first has written. Offsets only ever go forward, and facts that are known already change nothing:
a tracker that was taken for dead does no harm (J1, J2).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from consumers.status.evidence import Batch, Named, Removed, Waits
from consumers.status.facts import Facts, Parcel, Place, Retry, StreamFacts
from consumers.status.facts_json import dumped, loaded
from consumers.status.verdict import Verdict, verdict
from tidemill.jobs.state import State, together
from tidemill.jobs.tables import EVENTS, JOBS, MADE, OFFSETS, PARCELS, replacing

if TYPE_CHECKING:
    from consumers.status.awaited import Awaited

CHUNK = 500
"""Ids in one question: SQLite takes 999 values everywhere."""
MOST_DELETED = 1_000
"""Jobs that go in one transaction."""
_FINISHED = [state.value for state in State if state.is_finished]

T = TypeVar("T")


def fold(connection: Connection, batch: Batch, awaited: Awaited) -> None:
    """Add what a batch tells.

    Args:
        connection: In a transaction that can write.
        batch: What was read; parcels that are removed in it are added to its facts.
        awaited: Which streams take which events.
    """
    _parcels(connection, batch)
    jobs = sorted({named.job for named in batch.facts})
    if connection.dialect.name != "sqlite":
        _take(connection, jobs)
    if _events(connection, batch.facts, awaited):
        _jobs(connection, jobs)
    write_offsets(connection, batch.offsets)


def generation(connection: Connection) -> int:
    """Which generation the rows are of; they stay of it until the end of the transaction."""
    statement = select(MADE.c.generation)
    if connection.dialect.name != "sqlite":
        statement = statement.with_for_update(read=True)
    found: int = connection.scalars(statement).one()
    return found


def read_offsets(connection: Connection) -> dict[Place, int]:
    """Where to go on, of all partitions that anything was read of."""
    rows = connection.execute(select(OFFSETS.c.topic, OFFSETS.c.partition, OFFSETS.c.next_offset))
    return {(topic, partition): offset for topic, partition, offset in rows}


def write_offsets(connection: Connection, offsets: Mapping[Place, int]) -> None:
    """Keep where to go on; where another tracker is further already, that stays."""
    if not offsets:
        return
    there = read_offsets(connection)
    rows = [
        {"topic": place[0], "partition": place[1], "next_offset": offset}
        for place, offset in sorted(offsets.items())
        if offset > there.get(place, -1)
    ]
    if rows:
        connection.execute(replacing(connection, OFFSETS), rows)


def forget_offset(connection: Connection, place: Place) -> None:
    """Begin a partition anew, whose log isn't the one that was read."""
    connection.execute(delete(OFFSETS).where(OFFSETS.c.topic == place[0], OFFSETS.c.partition == place[1]))


def delete_old(connection: Connection, before_ms: int) -> int:
    """Delete some of the jobs to which nothing has happened since; returns how many."""
    old = select(JOBS.c.job_id).where(JOBS.c.updated_ms < before_ms).order_by(JOBS.c.job_id).limit(MOST_DELETED)
    if connection.dialect.name != "sqlite":
        # A job that something is just happening to isn't old.
        old = old.with_for_update(skip_locked=True)
    ids = list(connection.scalars(old))
    for some in chunks(ids):
        for table in (EVENTS, PARCELS, JOBS):
            connection.execute(delete(table).where(table.c.job_id.in_(some)))
    return len(ids)


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Items in lists of at most so many."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def _take(connection: Connection, jobs: Sequence[str]) -> None:
    """Hold the jobs' rows until the end of the transaction, also those that aren't there yet."""
    from sqlalchemy.dialects.postgresql import insert

    statement = insert(JOBS)
    statement = statement.on_conflict_do_update(index_elements=["job_id"], set_={"job_id": statement.excluded.job_id})
    rows = [
        {"job_id": job, "state": State.QUEUED, "created_ms": 0, "updated_ms": 0, "events": 0, "finished": 0}
        for job in jobs
    ]
    if rows:
        connection.execute(statement, rows)


def _parcels(connection: Connection, batch: Batch) -> None:
    """Keep what waits; a tombstone becomes a fact about the event whose record it removes."""
    if not batch.parcels:
        return
    known: dict[str, Waits] = {}
    for some in chunks(batch.parcels):
        found = connection.execute(select(PARCELS).where(PARCELS.c.key.in_(some)))
        known.update((row.key, _waits(row)) for row in found)
    gone = []
    for key, changes in batch.parcels.items():
        waits = known.get(key)
        for change in changes:
            if isinstance(change, Waits):
                waits = change
            elif waits is not None and change.offset > waits.parcel.offset:
                batch.tell(waits.named, _removed(waits, change))
                waits = None
        if waits is not None:
            known[key] = waits
        elif known.pop(key, None) is not None:
            gone.append(key)
    rows = [_parcel_row(key, known[key]) for key in sorted(batch.parcels) if key in known]
    if rows:
        connection.execute(replacing(connection, PARCELS), rows)
    for some in chunks(gone):
        connection.execute(delete(PARCELS).where(PARCELS.c.key.in_(some)))


def _removed(waits: Waits, tombstone: Removed) -> Facts:
    parcel = Parcel(tombstone.offset, waits.parcel.due_ms, tombstone.outcome, tombstone.by)
    if waits.stream is None:
        return Facts(tombstone.at_ms, delay=parcel)
    retry = Retry(waits.delivery, waits.attempt, parcel)
    return Facts(tombstone.at_ms, streams={waits.stream: StreamFacts(retry=retry)})


def _parcel_row(key: str, waits: Waits) -> dict[str, Any]:
    rest = [waits.stream, waits.delivery, waits.attempt, waits.parcel]
    return {"key": key, "job_id": waits.named.job, "event_id": waits.named.event, "parcel": json.dumps(rest)}


def _waits(row: Any) -> Waits:
    stream, delivery, attempt, parcel = json.loads(row.parcel)
    return Waits(Named(row.job_id, row.event_id), stream, delivery, attempt, Parcel(*parcel))


def _events(connection: Connection, news: Mapping[Named, Facts], awaited: Awaited) -> bool:
    """Join with what is known, and write what that has changed; returns whether it has changed anything."""
    known: dict[Named, Facts] = {}
    columns = [EVENTS.c[name] for name in ("job_id", "event_id", "facts", *OWN_COLUMNS)]
    for some in chunks(sorted({named.event for named in news})):
        for job, event, text, *rest in connection.execute(select(*columns).where(EVENTS.c.event_id.in_(some))):
            known[Named(job, event)] = loaded(text, **dict(zip(OWN_COLUMNS, rest, strict=True)))
    rows = []
    for named, facts in sorted(news.items()):
        before = known.get(named)
        after = facts if before is None else before.join(facts)
        if after != before:
            rows.append(_event_row(named, after, verdict(after, awaited)))
    if rows:
        connection.execute(replacing(connection, EVENTS), rows)
    return bool(rows) or connection.dialect.name != "sqlite"


OWN_COLUMNS = ("updated_ms", "type", "cause", "created_ms", "payload")


def _event_row(named: Named, facts: Facts, found: Verdict | None) -> dict[str, Any]:
    return {
        "event_id": named.event,
        "job_id": named.job,
        "type": facts.type,
        "cause": facts.cause,
        "state": None if found is None else found.state.value,
        "created_ms": facts.created_ms,
        "updated_ms": facts.updated_ms,
        "detail": _detail(facts, found),
        "payload": facts.payload,
        "facts": dumped(facts),
    }


def _detail(facts: Facts, found: Verdict | None) -> str | None:
    """What readers are told beside the state (`tidemill.jobs.queries`)."""
    data: dict[str, Any] = {}
    if found is not None:
        for name in ("stream", "attempt", "since_ms", "until_ms", "why"):
            if (value := getattr(found, name)) is not None:
                data[name] = value
        if found.report is not None:
            fields = {name: getattr(found.report, name) for name in ("done", "total", "unit", "note")}
            data["progress"] = {name: value for name, value in fields.items() if value is not None} or None
        if found.letter is not None:
            data["letter"] = found.letter._asdict()
    if facts.cancel_asked is not None:
        data["cancel_asked_by"] = facts.cancel_asked.why
    return json.dumps(data, separators=(",", ":")) if data else None


def _jobs(connection: Connection, jobs: Collection[str]) -> None:
    """Make the rows of jobs from those of their events."""
    per_state = (
        select(
            EVENTS.c.job_id,
            EVENTS.c.state,
            func.count(),
            func.min(func.coalesce(EVENTS.c.created_ms, EVENTS.c.updated_ms)),
            func.max(EVENTS.c.updated_ms),
            func.max(case((EVENTS.c.event_id == EVENTS.c.job_id, EVENTS.c.type))),
        )
        .where(EVENTS.c.job_id.in_(bindparam("jobs", expanding=True)), EVENTS.c.state.is_not(None))
        .group_by(EVENTS.c.job_id, EVENTS.c.state)
    )
    rows, empty = [], []
    for some in chunks(jobs):
        found: dict[str, list[Any]] = {job: [] for job in some}
        for job, *rest in connection.execute(per_state, {"jobs": some}):
            found[job].append(rest)
        rows += [_job_row(job, states) for job, states in found.items() if states]
        empty += [job for job, states in found.items() if not states]
    if rows:
        connection.execute(replacing(connection, JOBS), rows)
    for some in chunks(empty):
        connection.execute(delete(JOBS).where(JOBS.c.job_id.in_(some)))


def _job_row(job: str, states: Sequence[Sequence[Any]]) -> dict[str, Any]:
    return {
        "job_id": job,
        "state": together(State(state) for state, *_ in states).value,
        "type": max((each[4] for each in states if each[4] is not None), default=None),
        "created_ms": min(each[2] for each in states),
        "updated_ms": max(each[3] for each in states),
        "events": sum(each[1] for each in states),
        "finished": sum(each[1] for each in states if each[0] in _FINISHED),
    }


def next_generation(connection: Connection) -> None:
    """Tell all trackers that the rows are others now; waits for those that are writing."""
    connection.execute(update(MADE).values(generation=MADE.c.generation + 1))
