"""What is to be done for a job at a moment: its ticks, and the times that get none, with the reason. No Kafka here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.jobs.job import Job
from scheduler.jobs.pending import MOST_COUNTED, decide
from scheduler.ticks.books import Page, RunRequest, State
from tidemill.events import SkipReason


@dataclass(frozen=True)
class Tick:
    """One tick to emit."""

    scheduled_at: datetime
    sequence: int
    missed: int = 0
    """Times before it that got none, since the last tick."""
    request: RunRequest | None = None
    """Whose wish it is, where it is a run by hand."""


@dataclass(frozen=True)
class Skip:
    """Scheduled times that get no tick."""

    first: datetime
    last: datetime
    count: int
    reason: SkipReason
    detail: str = ""


@dataclass
class Plan:
    """What is to be done for one job, in the order of its times."""

    job: Job
    ticks: list[Tick] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    settled: datetime | None = None
    """The last scheduled time that this settles; None where it settles none."""
    skipped: int = 0
    """Times without a tick after the last tick of this plan."""
    next: datetime | None = None
    """When to look again; None: never."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.ticks and not self.skips


IsFinished = Callable[[], bool]
"""Whether the last run of the job is finished."""


def settled_until(page: Page) -> datetime:
    """The moment after which a job's times aren't settled yet."""
    assert page.definition is not None
    since, state = page.definition.since, page.state
    # Under another schedule times count from the change on; never again, though, up to what is settled already.
    return since if state is None else max(since, state.settled)


def next_run(page: Page) -> datetime | None:
    """The first scheduled time that isn't settled; None where there is none, or the job gets none at present.

    Args:
        page: What the books say of the job; its definition must be there.
    """
    assert page.definition is not None
    job = page.definition.job
    return job.schedule.after(settled_until(page)) if job.enabled and not page.is_paused else None


def plan(page: Page, now: datetime, is_finished: IsFinished) -> Plan:
    """What is to be done for a job now.

    Args:
        page: All that is known of it; its definition must be there.
        now: The present, aware.
        is_finished: Asked for a job that must not overlap itself; may raise.
    """
    assert page.definition is not None
    job, state = page.definition.job, page.state
    made = Plan(job, skipped=state.skipped if state is not None else 0)
    if page.is_paused:
        return made
    last = _pass_over_pause(page, made, settled_until(page))
    decision = decide(job, last, now, missed_before=made.skipped)
    for each in decision.skipped:
        detail = f'missed = "{job.missed}"' + (", or more" if each.capped else "")
        made.skips.append(Skip(each.first, each.last, each.count, "missed", detail))
    made.skipped, made.next = decision.missed, decision.next
    made.settled = decision.settled or made.settled
    sequence = state.sequence if state is not None else 0
    for scheduled_at in decision.emit:
        if job.overlap == "skip" and _is_unfinished(made, state, is_finished):
            made.skips.append(Skip(scheduled_at, scheduled_at, 1, "overlap", _unfinished_event(state)))
            made.skipped += 1
            continue
        sequence += 1
        made.ticks.append(Tick(scheduled_at, sequence, made.skipped))
        made.skipped = 0
    return made


def _is_unfinished(made: Plan, state: State | None, is_finished: IsFinished) -> bool:
    if made.ticks:
        return True  # The one just before is only being emitted.
    has_run = state is not None and state.ran is not None and state.ran.emit is not None
    return has_run and not is_finished()


def _unfinished_event(state: State | None) -> str:
    if state is None or state.ran is None or state.ran.emit is None:
        return "the run just before it is unfinished"
    return f"{state.ran.emit.id} is unfinished"


def _pass_over_pause(page: Page, made: Plan, last: datetime) -> datetime:
    """Settle the times of a pause that is over, and those before it that nobody has emitted by then."""
    pause = page.pause
    if pause is None or pause.end is None or pause.end <= last or not made.job.enabled:
        return last
    schedule = made.job.schedule
    why = f"by {pause.by}" + (f": {pause.why}" if pause.why else "")
    stretches: list[tuple[datetime, SkipReason, str]] = [
        (pause.start, "missed", "not emitted before the job was paused"),
        (pause.end, "paused", why),
    ]
    for until, reason, detail in stretches:
        newest = schedule.before(until)
        first = schedule.after(last)
        if newest is None or first is None or newest <= last:
            continue
        count = schedule.count(last, newest, MOST_COUNTED)
        made.skips.append(Skip(first, newest, count, reason, detail))
        made.skipped += count
        made.settled = last = newest
    return last


def run_by_hand(page: Page, request: RunRequest) -> Tick:
    """The tick of a run that somebody asked for: beside the schedule, whose times go on as they were."""
    return Tick(request.asked_at, page.state.sequence if page.state is not None else 0, request=request)
