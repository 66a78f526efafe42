"""How jobs look in the tables and the JSON of `tidemill schedule`. Computes only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scheduler.ticks.plan import next_run

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from scheduler.jobs.job import Job
    from scheduler.ticks.applying import JobChange
    from scheduler.ticks.books import Page, Pause

CHECK_COLUMNS = {"job": "JOB", "schedule": "SCHEDULE", "emits": "EMITS", "next": "NEXT"}
CHANGE_COLUMNS = {"job": "JOB", "change": "CHANGE", "schedule": "SCHEDULE", "was": "WAS"}
LIST_COLUMNS = {
    "job": "JOB",
    "schedule": "SCHEDULE",
    "state": "STATE",
    "next": "NEXT",
    "in": "IN",
    "last": "LAST",
    "late": "LATE",
    "ticks": "TICKS",
}

OVERDUE_SECONDS = 10.0
"""A scheduler that takes over from a lost one needs less."""


def utc_text(moment: datetime | None) -> str | None:
    """A moment in UTC, as `2026-11-24T07:00:00.000Z`."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timing_row(job: Job, following: datetime | None) -> dict[str, Any]:
    """A job of a file, and when it would run next."""
    return {
        "job": job.name,
        "schedule": _schedule(job),
        "emits": job.emit.type if job.emit is not None else None,
        "next": None if following is None else f"{following.astimezone(job.schedule.zone):%a %Y-%m-%d %H:%M:%S %Z}",
        "next_utc": utc_text(following),
    }


def _schedule(job: Job) -> str:
    data = job.schedule.to_data()
    if "cron" in data:
        return f"{data['cron']} ({data['timezone']})"
    if "every" in data:
        return f"every {data['every']}"
    count = len(data["at"])
    return f"at {data['at'][0]}" + (f" and {count - 1} more" if count > 1 else "")


def change_row(change: JobChange) -> dict[str, Any]:
    """What changes for a job."""
    job = change.definition.job if change.definition is not None else change.was
    assert job is not None
    was = "" if change.was is None or change.action != "rescheduled" else _schedule(change.was)
    return {"job": change.name, "change": change.action, "schedule": _schedule(job), "was": was or None}


def list_row(page: Page, now: datetime, *, for_people: bool) -> dict[str, Any]:
    """A job in force: when it ran, and when it runs next."""
    assert page.definition is not None
    job, state = page.definition.job, page.state
    following = next_run(page)
    due_at = None if following is None else job.due_at(following)
    overdue = due_at is not None and (now - due_at).total_seconds() > OVERDUE_SECONDS
    ran = state.ran if state is not None else None
    late = None if ran is None else (ran.emitted_at - job.due_at(ran.scheduled_at)).total_seconds()
    word = "disabled" if not job.enabled else "paused" if page.is_paused else "overdue" if overdue else "on time"
    row: dict[str, Any] = {"job": page.name, "schedule": _schedule(job), "state": word}
    if for_people:
        zone = job.schedule.zone
        return {
            **row,
            "next": None if following is None else _local(following, now, zone),
            "in": None if due_at is None else span_text((due_at - now).total_seconds()),
            "last": None if ran is None else _local(ran.scheduled_at, now, zone),
            "late": None if late is None else _late(late),
            "ticks": state.sequence if state is not None else 0,
        }
    return {
        **row,
        "overdue": overdue,
        "next": utc_text(following),
        "next_due": utc_text(due_at),
        "last": None if ran is None else utc_text(ran.scheduled_at),
        "last_emitted": None if ran is None else utc_text(ran.emitted_at),
        "last_late_seconds": late,
        "last_tick": None if ran is None else vars(ran.tick),
        "last_event": None if ran is None or ran.emit is None else vars(ran.emit),
        "ticks": state.sequence if state is not None else 0,
        "skipped_since": state.skipped if state is not None else 0,
        "pause": None if page.pause is None else _pause(page.pause),
        "emits": job.emit.type if job.emit is not None else None,
        "fingerprint": job.fingerprint,
        "in_force_since": utc_text(page.definition.since),
        "applied_at": utc_text(page.definition.applied_at),
        "applied_by": page.definition.by,
    }


def _local(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d %H:%M}"


def _pause(pause: Pause) -> dict[str, Any]:
    return {"start": utc_text(pause.start), "end": utc_text(pause.end), "by": pause.by, "why": pause.why}


def _late(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms" if abs(seconds) < 1 else span_text(seconds)


def span_text(seconds: float) -> str:
    """A stretch of time, as `4 min`."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{sign}{seconds / size:.0f} {unit}"
    return f"{sign}{seconds:.0f} s"
