"""The events of ticks: their ids, what they say, and what ties a job's event to its tick."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.job import Emit
from scheduler.ticks.emitting import tick_id
from scheduler.ticks.plan import Skip, Tick
from tests.unit.ticks_samples import BY, EVENT, T0, at, codec, emitting, job, request, text_of
from tidemill.errors import ContractError
from tidemill.event import CAUSE, ID, ROOT, SOURCE, derived_id
from tidemill.events import ImageRequested, ScheduleSkipped, ScheduleTick

NOW = T0 + timedelta(milliseconds=12)


def test_the_id_of_a_tick_is_its_job_and_its_scheduled_time_in_utc() -> None:
    assert tick_id("sweep", Tick(T0, 1)) == "sweep@2026-11-24T10:00:00Z"
    in_paris = datetime(2026, 11, 24, 11, tzinfo=ZoneInfo("Europe/Paris"))
    assert tick_id("sweep", Tick(in_paris, 1)) == "sweep@2026-11-24T10:00:00Z"


def test_the_two_hours_that_come_twice_in_autumn_have_two_ids() -> None:
    paris = ZoneInfo("Europe/Paris")
    ids = {tick_id("sweep", Tick(datetime(2026, 10, 25, 2, 30, tzinfo=paris, fold=fold), 1)) for fold in (0, 1)}
    assert ids == {"sweep@2026-10-25T00:30:00Z", "sweep@2026-10-25T01:30:00Z"}


def test_runs_by_hand_have_ids_of_their_own_also_at_a_scheduled_time() -> None:
    ids = {tick_id("sweep", Tick(T0, 1, request=wish)) for wish in (None, request(), request(identity="cafe"))}
    assert ids == {f"sweep@2026-11-24T10:00:00Z{end}" for end in ("", "+5eed", "+cafe")}


def test_a_tick_says_all_that_is_known_of_it() -> None:
    own = codec()
    events = emitting(own).tick(job(), Tick(T0, 7, missed=2), NOW)
    assert (events.event.topic, events.event.key, events.emit) == ("unit.schedule.tick", b"sweep", None)
    assert text_of(events.event.headers, ID) == events.event.id == "sweep@2026-11-24T10:00:00Z"
    assert own.decode(events.event.value, ScheduleTick) == ScheduleTick(
        job="sweep",
        scheduled_at=T0,
        interval_start=at(-10),
        emitted_at=NOW,
        sequence=7,
        missed=2,
        fingerprint=job().fingerprint,
        manual=False,
        by=BY,
    )


def test_a_run_by_hand_says_so() -> None:
    own = codec()
    events = emitting(own).tick(job(), Tick(at(3), 7, request=request(asked_at=at(3))), NOW)
    tick = own.decode(events.event.value, ScheduleTick)
    assert (tick.manual, tick.interval_start) == (True, T0)


def test_a_jobs_event_is_caused_by_its_tick_and_has_always_the_same_id() -> None:
    own = codec()
    making = emitting(own)
    first, again = (making.tick(job(emit=EVENT), Tick(T0, 7), now).emit for now in (NOW, at(5)))
    assert first is not None
    assert again is not None
    assert first.id == again.id == derived_id("sweep@2026-11-24T10:00:00Z", "emit")
    assert text_of(first.headers, CAUSE) == text_of(first.headers, ROOT) == "sweep@2026-11-24T10:00:00Z"
    assert text_of(first.headers, SOURCE)
    assert own.decode(first.value, ImageRequested).source == "file:///7.jpg"


def test_an_event_that_does_not_fit_its_contract_is_an_error_with_the_reason() -> None:
    emit = Emit(type="image.requested", payload={"source": "{{ sequence }}", "renditions": "none"})
    with pytest.raises(ContractError, match="renditions"):
        emitting().tick(job(emit=emit), Tick(T0, 7), NOW)


def test_skipped_times_are_told_with_first_last_and_reason() -> None:
    own = codec()
    made = emitting(own).skipped(job(), Skip(at(10), at(30), 3, "paused", "by alice"), NOW)
    assert (made.topic, made.key) == ("unit.schedule.skipped", b"sweep")
    told = own.decode(made.value, ScheduleSkipped)
    assert (told.first, told.last, told.count, told.reason, told.detail) == (at(10), at(30), 3, "paused", "by alice")
    assert (told.decided_at, told.by, told.fingerprint) == (NOW, BY, job().fingerprint)
    assert made.id == emitting(own).skipped(job(), Skip(at(10), at(10), 1, "overlap"), at(50)).id
