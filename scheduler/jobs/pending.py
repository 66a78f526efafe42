"""What a job has to do now: which scheduled times to emit, which to record as skipped, and when to look again.

A time is due when it and its jitter have passed. Of the due ones, those before the newest are missed: the next is due
as well. The newest is missed when it is later than the job's grace. A function of what it is given: it reads no clock,
it keeps nothing. It must never give a time at or before `last`, whatever the clock shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from scheduler.jobs.job import Job

MOST_COUNTED = 100_000
"""Skipped times beyond this aren't counted one by one: `Skipped.capped` says so."""
MOST_EMITTED = 1000
"""Times that one decision emits at most."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Skipped:
    """Scheduled times that follow each other and aren't emitted."""

    first: datetime
    last: datetime
    count: int
    reason: Literal["missed"] = "missed"
    capped: bool = False
    """Whether there are more than `count`."""


@dataclass(frozen=True)
class Decision:
    """What is to be done for one job."""

    emit: list[datetime]
    """Scheduled times to emit now, ascending."""
    skipped: list[Skipped]
    """Ranges to record as skipped, ascending; all lie before the first of `emit`."""
    missed: int
    """How many times were skipped since the last emitted one; belongs to the first of `emit`, or is carried on."""
    next: datetime | None
    """When to look again: when the next time is due, which may be now if more was due than one decision emits.
    None: never."""

    @property
    def settled(self) -> datetime | None:
        """The last scheduled time that this decision settles: `last` of the next one. None: it settles none."""
        if self.emit:
            return self.emit[-1]
        return self.skipped[-1].last if self.skipped else None


def decide(
    job: Job, last: datetime, now: datetime, *, missed_before: int = 0, most_emitted: int = MOST_EMITTED
) -> Decision:
    """What a job has to do at a moment.

    Args:
        job: The job; if it isn't enabled, there is nothing to do.
        last: The last scheduled time that was settled (emitted or skipped), or the moment from which the job counts.
        now: The present moment; may lie before `last`, when a clock was set back: nothing is due then.
        missed_before: `Decision.missed` of the last decision, if that one emitted nothing.
        most_emitted: Times to emit at most; the rest is due at once after it.
    """
    if not job.enabled:
        return Decision([], [], missed_before, None)
    newest = _newest_due(job, last, now)
    if newest is None:
        return Decision([], [], missed_before, _next(job, last))
    first = job.schedule.after(last)
    assert first is not None, "there is one at or before the newest"
    emit_from = _emit_from(job, last, newest, now)
    skipped = []
    if emit_from is None:
        skipped.append(_skipped(job, last, first, newest))
    elif emit_from > first:
        until = job.schedule.before(emit_from - _INSTANT)
        assert until is not None, "the first lies before it"
        skipped.append(_skipped(job, last, first, until))
    emit: list[datetime] = []
    following = emit_from
    while following is not None and following <= newest and len(emit) < most_emitted:
        emit.append(following)
        following = job.schedule.after(following)
    missed = missed_before + sum(each.count for each in skipped)
    return Decision(emit, skipped, missed, _next(job, emit[-1] if emit else newest))


def _newest_due(job: Job, last: datetime, now: datetime) -> datetime | None:
    newest = job.schedule.before(now)
    while newest is not None and newest > last and job.due_at(newest) > now:
        newest = job.schedule.before(newest - _INSTANT)
    return None if newest is None or newest <= last else newest


def _emit_from(job: Job, last: datetime, newest: datetime, now: datetime) -> datetime | None:
    """The first of the due times to emit; None: none of them."""
    match job.missed:
        case "latest":
            return newest
        case "skip":
            return newest if now - job.due_at(newest) <= job.grace else None
        case "all":
            if job.schedule.count(last, newest, job.missed_limit + 1) <= job.missed_limit:
                return job.schedule.after(last)
            first = newest
            for _ in range(job.missed_limit - 1):
                earlier = job.schedule.before(first - _INSTANT)
                assert earlier is not None, "more times than the limit lie after the last"
                first = earlier
            return first


def _skipped(job: Job, last: datetime, first: datetime, until: datetime) -> Skipped:
    count = job.schedule.count(last, until, MOST_COUNTED + 1)
    return Skipped(first, until, min(count, MOST_COUNTED), capped=count > MOST_COUNTED)


def _next(job: Job, last: datetime) -> datetime | None:
    following = job.schedule.after(last)
    return None if following is None else job.due_at(following)
