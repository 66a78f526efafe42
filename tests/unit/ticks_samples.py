"""Jobs, pages of the books and events without a registry, for the tests of ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from scheduler.ticks.books import Definition, Emitted, Page, Pause, Ran, RunRequest, State
from scheduler.ticks.emitting import Emitting
from tidemill.codec import Codec
from tidemill.config import load_settings
from tidemill.contracts.catalogue import Catalogue
from tidemill.events import ImageRequested, ScheduleSkipped, ScheduleTick
from tidemill.testing import MemorySchemas

T0 = datetime(2026, 11, 24, 10, tzinfo=UTC)
"""When the sample job was applied, and one of its times."""
EVENT = Emit(type="image.requested", payload={"source": "file:///{{ sequence }}.jpg", "renditions": []})
BY = "sails:7"


def at(minutes: float) -> datetime:
    """So many minutes after T0."""
    return T0 + timedelta(minutes=minutes)


def every(minutes: float, zone: str = "UTC") -> Schedule:
    """A period, in a zone."""
    return Schedule(Every(timedelta(minutes=minutes)), ZoneInfo(zone))


def cron(expression: str, zone: str = "UTC") -> Schedule:
    """A cron expression, in a zone."""
    return Schedule(Cron(expression, ZoneInfo(zone)), ZoneInfo(zone))


def job(name: str = "sweep", **changed: Any) -> Job:
    """A job of every ten minutes."""
    return Job(**{"name": name, "schedule": every(10), **changed})


def page(
    declared: Job | None = None, *, state: State | None = None, pause: Pause | None = None, since: datetime = T0
) -> Page:
    """What the books say of a job."""
    declared = declared or job()
    return Page(declared.name, Definition(declared, since, since, "alice@sails"), state, pause)


def state(settled: datetime, **changed: Any) -> State:
    """Where a job stands."""
    return replace(State(settled), **changed)


def ran(scheduled_at: datetime, *, event: bool = True) -> Ran:
    """A job's last tick."""
    tick = Emitted(f"sweep@{scheduled_at:%Y-%m-%dT%H:%M:%SZ}", "schedule.tick", 2, 41)
    emit = Emitted("0d9a", "image.requested", 3, 17) if event else None
    return Ran(tick, scheduled_at, scheduled_at + timedelta(milliseconds=12), BY, emit=emit)


def request(name: str = "sweep", identity: str = "5eed", asked_at: datetime = T0) -> RunRequest:
    """Somebody's wish for a run."""
    return RunRequest(identity, name, asked_at, "alice@sails")


def codec() -> Codec:
    """A codec without a registry."""
    return Codec(MemorySchemas())


def emitting(own: Codec | None = None) -> Emitting:
    """Makes events without a registry."""
    catalogue = Catalogue([ImageRequested, ScheduleTick, ScheduleSkipped])
    return Emitting(load_settings(namespace="unit."), own or codec(), catalogue, BY)


def text_of(headers: Mapping[str, bytes] | Any, name: str) -> str:
    """A header's text."""
    value = dict(headers)[name]
    assert isinstance(value, bytes)
    return value.decode()
