"""The handler: what an event says, what a job's tick makes it say, and what the runtime gets to see."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from scheduler.jobs.file import parse_jobs
from scheduler.jobs.payload import render
from streams.cleanup.handler import cleanup
from tests.unit.cleaning import AS_OF, Site, declared
from tidemill.config import load_settings
from tidemill.contracts.catalogue import installed_events
from tidemill.errors import Reject
from tidemill.event import Event, Position
from tidemill.events import CleanupDone, CleanupRequested

JOBS = """
[[job]]
name = "nightly-sessions"
cron = "0 3 * * *"

[job.emit]
type = "cleanup.requested"

[job.emit.payload]
policy = "sessions"
as_of = "{{ scheduled_at }}"
"""


class SmallWork:
    """What the handler uses of Work."""

    def __init__(self, site: Site) -> None:
        self.settings = load_settings(store_url=site.store.home.uri, state_dir=site.folder / "state")
        self.seen: list[tuple[int | None, int | None, str | None]] = []
        self.is_cancelled = False

    def progress(
        self, done: int | None = None, total: int | None = None, *, unit: str | None = None, note: str | None = None
    ) -> None:
        self.seen.append((done, total, unit))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    site.fill(old=12, young=30)
    (tmp_path / "cleanup.toml").write_text(declared("batch_rows = 5", site.url))
    monkeypatch.setenv("TIDEMILL_CLEANUP_POLICIES", str(tmp_path / "cleanup.toml"))
    return site


def _handle(site: Site, request: CleanupRequested, time: datetime = AS_OF) -> tuple[CleanupDone, SmallWork]:
    work = SmallWork(site)
    return cast("CleanupDone", cleanup(_event(request, time), cast("Any", work))), work


def _event(request: CleanupRequested, time: datetime = AS_OF) -> Event[CleanupRequested]:
    headers = [("ce_id", b"event-1"), ("ce_time", time.isoformat().encode())]
    return Event(request, key=None, headers=headers, position=Position("cleanup.requested", 0, 0, 0))


def test_what_a_jobs_tick_emits_cleans_up_by_its_scheduled_time(site: Site) -> None:
    (job,) = parse_jobs(JOBS, installed_events(), datetime(2026, 11, 23, tzinfo=UTC))
    rendered = render(job, AS_OF, installed_events(), sequence=1)
    assert rendered is not None
    assert rendered.event == CleanupRequested(policy="sessions", as_of=AS_OF)
    assert rendered.key == "sessions"
    done, work = _handle(site, rendered.event, time=datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert (done.policy, done.as_of, done.deleted) == ("sessions", AS_OF, 12)
    assert site.ids() == list(range(13, 43))
    assert work.seen == [(0, 12, "rows"), (5, 12, "rows"), (10, 12, "rows"), (12, 12, "rows")]


def test_ages_are_measured_from_the_events_time_where_it_says_none(site: Site) -> None:
    done, _ = _handle(site, CleanupRequested(policy="sessions", dry_run=True))
    assert (done.as_of, done.matched, done.dry_run) == (AS_OF, 12, True)


def test_a_cancelled_job_removes_nothing(site: Site) -> None:
    work = SmallWork(site)
    work.is_cancelled = True
    done = cast("CleanupDone", cleanup(_event(CleanupRequested(policy="sessions")), cast("Any", work)))
    assert (done.deleted, done.stopped_by) == (0, "cancelled")


def test_an_event_cant_name_what_no_policy_allows(site: Site) -> None:
    with pytest.raises(Reject, match="There is no policy 'users'"):
        _handle(site, CleanupRequested(policy="users"))
