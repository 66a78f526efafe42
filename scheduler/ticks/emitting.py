"""The events of ticks: for `schedule.tick`, for `schedule.skipped`, and for the topic that a job asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scheduler.jobs.payload import render
from tidemill.event import Event, Position, derived_id
from tidemill.events import ScheduleSkipped, ScheduleTick
from tidemill.publisher.preparing import Outgoing, Preparer

if TYPE_CHECKING:
    from scheduler.jobs.job import Job
    from scheduler.ticks.plan import Skip, Tick
    from tidemill.codec import Codec
    from tidemill.config import Settings
    from tidemill.contracts.catalogue import Catalogue
    from tidemill.destinations import Destinations


@dataclass(frozen=True)
class TickEvents:
    """A tick, and what its job asks for."""

    tick: Tick
    emitted_at: datetime
    event: Outgoing
    emit: Outgoing | None


def tick_id(job: str, tick: Tick) -> str:
    """The id of a tick: `<job>@<scheduled time in UTC>`; that of a run by hand has its request's id after it."""
    scheduled = tick.scheduled_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"{job}@{scheduled}" + (f"+{tick.request.id}" if tick.request is not None else "")


class Emitting:
    """Makes events; thread-safe.

    Args:
        settings: Namespace, source, limits.
        codec: Encodes them.
        events: Event classes.
        by: Which instance this is.
        destinations: Tells which topics can be written to; None takes all for that.
    """

    def __init__(
        self, settings: Settings, codec: Codec, events: Catalogue, by: str, destinations: Destinations | None = None
    ) -> None:
        self._preparer = Preparer(settings, codec)
        self._codec = codec
        self._events = events
        self._destinations = destinations
        self.by = by

    def prepare(self) -> None:
        """Look up the schemas of ticks, so that the first one doesn't wait; raises as `Codec.prepare`."""
        for cls in (ScheduleTick, ScheduleSkipped):
            self._codec.prepare(cls)

    def tick(self, job: Job, tick: Tick, now: datetime) -> TickEvents:
        """The events of a tick.

        Args:
            job: Its job.
            tick: Which one.
            now: When it is emitted.

        Raises:
            ContractError, ExpressionError: What the job asks for can't be made.
            SchemaNotRegistered, RegistryError: Its schema can't be had.
            UnknownTopic, NotAuthorized: Its topic can't be written to.
        """
        start, _ = job.schedule.interval(tick.scheduled_at)
        is_manual = tick.request is not None
        payload = ScheduleTick(
            job=job.name,
            scheduled_at=tick.scheduled_at,
            interval_start=start,
            emitted_at=now,
            sequence=tick.sequence,
            missed=tick.missed,
            fingerprint=job.fingerprint,
            manual=is_manual,
            by=self.by,
        )
        event = self._preparer.prepare(payload, event_id=tick_id(job.name, tick))
        return TickEvents(tick, now, event, self._emit(job, tick, payload, event))

    def _emit(self, job: Job, tick: Tick, payload: ScheduleTick, event: Outgoing) -> Outgoing | None:
        rendered = render(
            job,
            tick.scheduled_at,
            self._events,
            sequence=tick.sequence,
            missed=tick.missed,
            manual=tick.request is not None,
        )
        if rendered is None:
            return None
        # The tick isn't anywhere yet, but it is what leads to the event.
        cause = Event(payload, key=event.key, headers=event.headers, position=Position(event.topic, -1, -1, -1))
        emit = self._preparer.prepare(
            rendered.event,
            key=rendered.key,
            subject=rendered.subject,
            cause=cause,
            event_id=derived_id(event.id, "emit"),
        )
        # Beforehand: a transaction that is refused one topic is lost with all that other jobs have in it.
        against = self._destinations.against([emit.topic]) if self._destinations is not None else {}
        if against:
            raise against[emit.topic]
        return emit

    def skipped(self, job: Job, skip: Skip, now: datetime) -> Outgoing:
        """The event that tells of times without a tick."""
        payload = ScheduleSkipped(
            job=job.name,
            first=skip.first,
            last=skip.last,
            count=skip.count,
            reason=skip.reason,
            detail=skip.detail,
            fingerprint=job.fingerprint,
            decided_at=now,
            by=self.by,
        )
        first = skip.first.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return self._preparer.prepare(payload, event_id=derived_id(f"{job.name}@{first}", "skipped"))
