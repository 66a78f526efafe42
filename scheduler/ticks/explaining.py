"""Why a job ran at a time, or didn't: put together from the books, the ticks, and what was skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from scheduler.jobs.cron import Cron
from scheduler.log import partitions_of, read_log
from scheduler.ticks.plan import settled_until
from tidemill.codec import Codec
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import ScheduleSkipped, ScheduleTick
from tidemill.partitioning import partition_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from scheduler.jobs.job import Job
    from scheduler.ticks.books import Page
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload

SKEW = timedelta(minutes=10)
"""Clocks of schedulers may be ahead by so much: ticks that early are looked at, too."""

Verdict = Literal[
    "ran", "missed", "paused", "overlap", "failed", "not due", "due", "disabled", "before", "no time", "gap", "gone"
]
"""`no time`: the job has no run at that time. `gap`: the clocks leap over that time. `before`: its schedule wasn't in
force then. `gone`: it is settled, but what became of it isn't kept any more."""


@dataclass(frozen=True)
class Explanation:
    """Why a job ran at a time, or didn't."""

    job: str
    asked: datetime
    verdict: Verdict
    text: str
    """For people, a sentence."""
    facts: dict[str, object] = field(default_factory=dict)
    """Who, when, where; for people and programs."""


def explain(settings: Settings, page: Page, asked: datetime, now: datetime) -> Explanation:
    """Why a job ran at a time, or didn't.

    Args:
        settings: Addresses, namespace.
        page: All that the books say of the job; its definition must be there.
        asked: The time; a naive one is meant in the job's zone.
        now: The present, aware.

    Raises:
        BrokerError, RegistryError: It can't be looked up.
    """
    assert page.definition is not None
    job = page.definition.job
    moment = _moment(job, asked)
    if asked.tzinfo is None and (leap := _leap_over(asked, job.schedule.zone)) is not None:
        return Explanation(page.name, moment, "gap", *_in_gap(job, asked, leap))
    if job.schedule.before(moment) != moment:
        return Explanation(page.name, moment, "no time", *_no_time(job, moment))
    if moment > now:
        due_at = job.due_at(moment)
        return Explanation(page.name, moment, "not due", f"It is due in {_span(due_at - now)}.", {"due_at": due_at})
    with Registry(settings) as registry:
        codec = Codec(registry)
        found = _tick(settings, codec, job, moment) or _skipped(settings, codec, job, moment)
    return found or Explanation(page.name, moment, *_unsettled(page, job, moment, now))


def _moment(job: Job, asked: datetime) -> datetime:
    if asked.tzinfo is None:
        asked = asked.replace(tzinfo=job.schedule.zone)
    return asked.astimezone(UTC)


def _leap_over(wall: datetime, zone: ZoneInfo) -> datetime | None:
    """The moment at which the clocks of a zone leap over a naive time; None where it exists."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return None
    # With fold=1 a time in a gap is read with the offset after it, and so means a moment before it (PEP 495).
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def _in_gap(job: Job, wall: datetime, leap: datetime) -> tuple[str, dict[str, object]]:
    zone = job.schedule.zone
    last = (leap - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None) + timedelta(seconds=1)
    text = (
        f"{wall:%H:%M:%S} doesn't exist on {wall:%Y-%m-%d} in {zone.key}: "
        f"the clocks leap from {last:%H:%M} to {leap.astimezone(zone):%H:%M}."
    )
    following = job.schedule.after(leap - timedelta(microseconds=1))
    if following is not None:
        text += f" The first run after the leap is that of {_local(following, zone)}."
    return text, {"leap": leap, "run_after": following, "run_before": job.schedule.before(leap - timedelta(seconds=1))}


def _no_time(job: Job, moment: datetime) -> tuple[str, dict[str, object]]:
    zone = job.schedule.zone
    before, after = job.schedule.before(moment), job.schedule.after(moment)
    near = ", ".join(
        f"the one {word} is at {_local(time, zone)}" for word, time in (("before", before), ("after", after)) if time
    )
    text = f"The schedule has no run at {_local(moment, zone)}; {near or 'it has none at all'}."
    return text, {"run_before": before, "run_after": after}


def _tick(settings: Settings, codec: Codec, job: Job, moment: datetime) -> Explanation | None:
    for message, tick in _read(settings, codec, ScheduleTick, job.name, moment):
        if tick.scheduled_at != moment:
            continue
        late = tick.emitted_at - tick.scheduled_at
        event = Event.received(tick, message)
        leap = _leap_words(job, moment)
        how = "was run by hand" if tick.manual else f"ran, {_late(late)}"
        facts: dict[str, object] = {
            "tick": event.id,
            "emitted_at": tick.emitted_at,
            "late_seconds": round(late.total_seconds(), 3),
            "by": tick.by,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "sequence": tick.sequence,
            "missed_before": tick.missed,
        }
        if job.emit is not None:
            facts["emits"] = job.emit.type
        return Explanation(job.name, moment, "ran", f"It {how}; emitted by {tick.by}.{leap}", facts)
    return None


def _leap_words(job: Job, moment: datetime) -> str:
    """Says so, if the clocks leap over the time that the schedule names, and this one stands for it."""
    pattern = job.schedule.pattern
    wall = pattern.left_out(moment) if isinstance(pattern, Cron) else None
    return "" if wall is None else f" It stands for {wall:%H:%M}, which the clocks leap over on that day."


def _skipped(settings: Settings, codec: Codec, job: Job, moment: datetime) -> Explanation | None:
    for message, skip in _read(settings, codec, ScheduleSkipped, job.name, moment):
        if not skip.first <= moment <= skip.last:
            continue
        why = {
            "missed": "It was missed: no scheduler could emit it in time",
            "paused": "The job was paused",
            "overlap": "The run before it wasn't finished",
            "failed": "Its event couldn't be made",
        }[skip.reason]
        facts: dict[str, object] = {
            "detail": skip.detail,
            "decided_at": skip.decided_at,
            "by": skip.by,
            "skipped_from": skip.first,
            "skipped_to": skip.last,
            "skipped_count": skip.count,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
        }
        return Explanation(job.name, moment, skip.reason, f"{why} ({skip.detail}).", facts)
    return None


def _unsettled(page: Page, job: Job, moment: datetime, now: datetime) -> tuple[Verdict, str, dict[str, object]]:
    assert page.definition is not None
    since = page.definition.since
    if moment <= since:
        text = f"This schedule is in force since {_local(since, job.schedule.zone)}; times before that don't count."
        return "before", text, {"since": since, "applied_by": page.definition.by}
    if moment <= settled_until(page):
        return "gone", "It is settled, but what became of it isn't kept any more.", {}
    if not job.enabled:
        return "disabled", "The schedule says enabled = false.", {}
    if page.pause is not None and page.pause.end is None:
        why = f" ({page.pause.why})" if page.pause.why else ""
        text = f"The job is paused since {_local(page.pause.start, job.schedule.zone)} by {page.pause.by}{why}."
        return "paused", text, {"paused_since": page.pause.start, "paused_by": page.pause.by}
    due_at = job.due_at(moment)
    if due_at > now:
        return "not due", f"Its jitter makes it due in {_span(due_at - now)}.", {"due_at": due_at}
    text = f"It is due since {_span(now - due_at)} and not emitted yet: is a scheduler running?"
    return "due", text, {"due_at": due_at}


def _read(
    settings: Settings, codec: Codec, cls: type[Payload], job: str, moment: datetime
) -> Iterator[tuple[Message, Any]]:
    """Events of a job that were written about a time or later."""
    topic = cls.__contract__.topic
    partition = partition_of(job.encode(), partitions_of(settings, topic))
    since_ms = int((moment - SKEW).timestamp() * 1000)
    for message in read_log(settings, topic, [partition], since_ms=since_ms):
        if message.key() == job.encode() and (value := message.value()) is not None:
            yield message, codec.decode(value, cls)


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _late(late: timedelta) -> str:
    seconds = late.total_seconds()
    return f"{round(seconds * 1000)} ms late" if seconds < 10 else f"{_span(late)} late"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
