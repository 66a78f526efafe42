"""One `[[job]]` of jobs.toml made a job: what its keys are, which go together, and that it runs at all.

Whether its event fits a contract is `fit.py`. Computes only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from scheduler.jobs.at import At
from scheduler.jobs.cron import Cron
from scheduler.jobs.every import EPOCH, Every
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from scheduler.jobs.table import YEARS, Table, shown
from scheduler.jobs.walls import parse_cron
from tidemill.contracts.duration import format_duration
from tidemill.contracts.faults import did_you_mean

MOST_MISSED = 10_000
"""Largest `missed_limit`."""
MOST_TIMES = 10_000
"""Most moments in `at`."""

_NAME = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_STREAM = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_KEYS = (
    *("name", "cron", "every", "at", "timezone", "jitter", "starts", "ends", "enabled"),
    *("missed", "missed_limit", "grace", "overlap", "stream", "emit"),
)
_STAND_IN = Schedule(Every(timedelta(hours=1)), ZoneInfo("UTC"))


def read_job(table: Table) -> Job:
    """The job that a table declares. It must not be used if the table has faults."""
    table.refuse_unknown(_KEYS)
    overlap = table.choice("overlap", ("allow", "skip"))
    job = Job(
        name=_name(table),
        schedule=_schedule(table) or _STAND_IN,
        jitter=table.duration("jitter", timedelta(0)),
        enabled=table.take("enabled", bool, True),
        missed=table.choice("missed", ("latest", "skip", "all")),
        missed_limit=table.whole_number("missed_limit", 1000, MOST_MISSED),
        grace=table.duration("grace", timedelta(minutes=1)),
        overlap=overlap,
        stream=_stream(table),
        emit=_emit(table),
    )
    if "stream" in table and overlap == "allow":
        table.fault('stream does nothing without overlap = "skip"', "stream", hint="Remove it, or set overlap.")
    if overlap == "skip" and "emit" not in table:
        hint = "Add [job.emit], or remove overlap: a tick alone is never unfinished."
        table.fault('overlap = "skip", but there is no event whose work could be unfinished', "overlap", hint=hint)
    if job.jitter and job.schedule is not _STAND_IN:
        _check_jitter(table, job)
    return job


def _name(table: Table) -> str:
    if "name" not in table:
        table.fault("a job has no name", hint='Write name = "...".')
        return "nameless"
    name: str = table.take("name", str, "nameless")
    if not _NAME.fullmatch(name):
        hint = "Write a-z, 0-9, _ and -, a letter first, dots inside, 64 characters at most."
        table.fault(f"name {shown(name)} isn't allowed", "name", hint=hint)
    return name


def _zone(table: Table) -> ZoneInfo:
    name = table.take("timezone", str, "UTC", 'the name of a time zone, such as "Europe/Paris"')
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no possible name; the folder of a continent
        hint = did_you_mean(name, available_timezones()) or 'Names look like "Europe/Paris" or "UTC".'
        table.fault(f"timezone {shown(name)} isn't known", "timezone", hint=hint)
        return ZoneInfo("UTC")


def _schedule(table: Table) -> Schedule | None:
    zone = _zone(table)
    starts, ends = table.moment(zone, "starts"), table.moment(zone, "ends")
    kinds = [key for key in table.data if key in ("cron", "every", "at")]
    if len(kinds) != 1:
        found = f"it has {' and '.join(kinds)}" if kinds else "it has none of cron, every and at"
        table.fault(f"{found}, expected exactly one", *kinds[1:2])
        return None
    pattern: Cron | Every | At | None
    if kinds == ["cron"]:
        pattern = _cron(table, zone)
    elif kinds == ["every"]:
        period = table.duration("every", timedelta(0))
        pattern = Every(period, EPOCH if starts is None else starts) if period else None
    else:
        pattern = _at(table, zone)
    if pattern is None:
        return None
    schedule = Schedule(pattern, zone, starts, ends)
    if starts is not None and ends is not None and ends < starts:
        table.fault(f"it never runs: ends, {ends:%Y-%m-%d %H:%M:%S} UTC, lies before starts", "ends")
        return None
    if schedule.after(datetime(YEARS[0], 1, 1, tzinfo=UTC) - timedelta(days=2)) is None:
        table.fault("it never runs: none of its times lies between starts and ends", kinds[0])
        return None
    return schedule


def _cron(table: Table, zone: ZoneInfo) -> Cron | None:
    expression = table.take("cron", str, None, 'text such as "0 7 * * MON-FRI"')
    if expression is None:
        return None
    try:
        parse_cron(expression)
    except ValueError as error:
        table.fault(f"cron {shown(expression)}: {error}", "cron")
        return None
    return Cron(expression, zone)


def _at(table: Table, zone: ZoneInfo) -> At | None:
    values = table.take("at", list, None, "a list of dates and times")
    if values is None:
        return None
    if not 1 <= len(values) <= MOST_TIMES:
        table.fault(f"at has {len(values):,} times, expected 1 to {MOST_TIMES:,}", "at")
        return None
    moments = [table.moment(zone, "at", index) for index in range(len(values))]
    known = [moment for moment in moments if moment is not None]
    return At(tuple(sorted(set(known)))) if len(known) == len(values) else None


def _stream(table: Table) -> str | None:
    stream: str | None = table.take("stream", str, None)
    if stream is not None and not _STREAM.fullmatch(stream):
        table.fault(f"stream {shown(stream)} isn't the name of a stream", "stream")
    return stream


def _emit(table: Table) -> Emit | None:
    inner = table.inner("emit")
    if inner is None:
        return None
    inner.refuse_unknown(("type", "payload", "key", "subject"))
    if "type" not in inner:
        inner.fault("emit has no type", hint='Name the event: type = "report.requested".')
    type_ = inner.take("type", str, None)
    key, subject = inner.take("key", str, None), inner.take("subject", str, None)
    payload = inner.json("payload")
    return None if type_ is None else Emit(type=type_, payload=payload, key=key, subject=subject)


def _check_jitter(table: Table, job: Job) -> None:
    gap = job.schedule.pattern.shortest_gap()
    if gap is not None and job.jitter >= gap:
        found = f"jitter {format_duration(job.jitter)} isn't shorter than the {format_duration(gap)} between two runs"
        table.fault(found, "jitter", hint="Runs could come in another order than their times.")
