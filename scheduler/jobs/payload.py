"""The event of one run: a job's texts worked out for one scheduled time, and made an instance of its event class.

Relies on the catalogue for the class, and on `tidemill.json_events` for what a contract takes. Computes only: the same
arguments give the same event on every machine.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any, NamedTuple
from uuid import UUID

from scheduler.jobs.expressions import render_text, render_value
from scheduler.jobs.job import Job
from tidemill.contracts.catalogue import Catalogue
from tidemill.contracts.contract import Payload
from tidemill.json_events import from_json


class Rendered(NamedTuple):
    """What to publish for one run."""

    event: Payload
    """Instance of the event class."""
    key: str | None
    """Kafka key, as the job says it or from the field that the contract names; None: no key."""
    subject: str | None
    """CloudEvents subject; None: none."""


def render(
    job: Job,
    scheduled_at: datetime,
    catalogue: Catalogue,
    *,
    sequence: int,
    missed: int = 0,
    manual: bool = False,
) -> Rendered | None:
    """The event that a job emits for a scheduled time; None if it only ticks.

    Args:
        job: The job.
        scheduled_at: The scheduled time, or the moment of a run by hand; aware.
        catalogue: Where the event's class is found.
        sequence: Number of the run.
        missed: How many times were skipped since the last run.
        manual: Whether it was started by hand.

    Raises:
        ExpressionError: An expression fails.
        UnknownEventType: No contract has the type.
        InvalidEvent: A field holds what its schema doesn't allow.
        ContractError: A field is missing or unknown.
    """
    emit = job.emit
    if emit is None:
        return None
    cls = catalogue.by_type(emit.type)
    variables = variables_of(job, scheduled_at, sequence=sequence, missed=missed, manual=manual)
    event = from_json(cls, _as_json(render_value(emit.payload, variables)))
    key = cls.__contract__.key_of(event) if emit.key is None else render_text(emit.key, variables)
    subject = None if emit.subject is None else render_text(emit.subject, variables)
    return Rendered(event, key, subject)


def variables_of(job: Job, scheduled_at: datetime, *, sequence: int, missed: int, manual: bool) -> dict[str, Any]:
    """What expressions may name; times are in the job's zone."""
    start, end = job.schedule.interval(scheduled_at)
    zone = job.schedule.zone
    return {
        "job": job.name,
        "scheduled_at": end.astimezone(zone),
        "interval_start": start.astimezone(zone),
        "interval_end": end.astimezone(zone),
        "sequence": sequence,
        "missed": missed,
        "manual": manual,
    }


def _as_json(value: Any) -> Any:
    """JSON data has no dates: they go as ISO 8601 text, which the contract's logical types read back."""
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
