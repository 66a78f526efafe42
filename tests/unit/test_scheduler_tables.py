"""The rows of `tidemill schedule`: what a person sees of a job, and what a program does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.jobs.at import At
from scheduler.jobs.schedule import Schedule
from scheduler.schedule_tables import LIST_COLUMNS, change_row, list_row, span_text, timing_row, utc_text
from scheduler.ticks.applying import JobChange
from scheduler.ticks.books import Definition, Pause
from tests.unit.ticks_samples import EVENT, T0, at, cron, every, job, page, ran, state


def test_a_job_on_time_shows_its_last_and_next_run() -> None:
    row = list_row(page(state=state(at(10), sequence=7, ran=ran(at(10)))), at(12), for_people=True)
    assert row == {
        "job": "sweep",
        "schedule": "every 10m",
        "state": "on time",
        "next": "10:20:00",
        "in": "8 min",
        "last": "10:10:00",
        "late": "12 ms",
        "ticks": 7,
    }
    assert set(row) == set(LIST_COLUMNS)


def test_times_are_shown_in_the_jobs_own_zone_and_with_the_date_where_it_is_another() -> None:
    daily = page(job(schedule=cron("0 7 * * *", "Asia/Kolkata")), state=state(T0))
    row = list_row(daily, at(12), for_people=True)
    assert (row["schedule"], row["next"], row["in"]) == ("0 7 * * * (Asia/Kolkata)", "2026-11-25 07:00", "15 h")


def test_a_job_that_has_never_run_shows_no_last_run() -> None:
    row = list_row(page(), at(1), for_people=True)
    assert (row["state"], row["last"], row["late"], row["ticks"]) == ("on time", None, None, 0)


def test_a_job_whose_time_has_passed_without_a_tick_is_overdue() -> None:
    late = page(state=state(at(10)))
    assert list_row(late, at(20) + timedelta(seconds=9), for_people=True)["state"] == "on time"
    row = list_row(late, at(21), for_people=True)
    assert (row["state"], row["next"], row["in"]) == ("overdue", "10:20:00", "-60 s")
    assert list_row(late, at(21), for_people=False)["overdue"] is True


def test_a_paused_or_disabled_job_has_no_next_run() -> None:
    paused = page(state=state(at(10)), pause=Pause(at(12), None, "alice", "the warehouse moves"))
    for row_of, word in ((paused, "paused"), (page(job(enabled=False)), "disabled")):
        row = list_row(row_of, at(45), for_people=True)
        assert (row["state"], row["next"], row["in"]) == (word, None, None)


def test_a_pause_that_is_over_leaves_a_job_as_it_was() -> None:
    resumed = page(state=state(at(10)), pause=Pause(at(12), at(13), "alice"))
    assert list_row(resumed, at(15), for_people=True)["state"] == "on time"


def test_lateness_is_counted_from_the_jitters_end() -> None:
    jittered = job(jitter=timedelta(minutes=5))
    last = replace(ran(at(10)), emitted_at=jittered.due_at(at(10)) + timedelta(milliseconds=30))
    row = list_row(page(jittered, state=state(at(10), ran=last)), at(16), for_people=True)
    assert row["late"] == "30 ms"


def test_a_program_sees_all_that_the_books_say() -> None:
    stood = state(at(10), sequence=7, skipped=2, ran=ran(at(10)))
    row = list_row(page(job(emit=EVENT), state=stood, pause=Pause(T0, at(1), "alice")), at(12), for_people=False)
    assert row["next"] == row["next_due"] == "2026-11-24T10:20:00.000Z"
    assert row["last"] == "2026-11-24T10:10:00.000Z"
    assert row["last_late_seconds"] == pytest.approx(0.012)
    assert row["last_tick"]["offset"] == 41
    assert row["last_event"] == {"id": "0d9a", "topic": "image.requested", "partition": 3, "offset": 17}
    assert (row["ticks"], row["skipped_since"], row["emits"]) == (7, 2, "image.requested")
    assert row["pause"] == {
        "start": "2026-11-24T10:00:00.000Z",
        "end": "2026-11-24T10:01:00.000Z",
        "by": "alice",
        "why": "",
    }
    assert (row["in_force_since"], row["applied_by"]) == ("2026-11-24T10:00:00.000Z", "alice@sails")
    assert row["fingerprint"] == job().fingerprint


def test_a_schedule_of_dates_shows_the_first_and_how_many_more() -> None:
    dates = Schedule(At((T0, at(60), at(120))), every(1).zone)
    assert timing_row(job(schedule=dates), None) == {
        "job": "sweep",
        "schedule": "at 2026-11-24T10:00:00+00:00 and 2 more",
        "emits": None,
        "next": None,
        "next_utc": None,
    }
    one = Schedule(At((T0,)), every(1).zone)
    assert timing_row(job(schedule=one), None)["schedule"] == "at 2026-11-24T10:00:00+00:00"


def test_a_job_of_a_file_shows_its_next_time_in_its_zone_and_in_utc() -> None:
    row = timing_row(job(schedule=cron("0 7 * * *", "Europe/Paris"), emit=EVENT), at(20 * 60))
    assert (row["next"], row["next_utc"]) == ("Wed 2026-11-25 07:00:00 CET", "2026-11-25T06:00:00.000Z")
    assert row["emits"] == "image.requested"


def test_a_change_shows_what_was_only_where_times_change() -> None:
    definition = Definition(job(schedule=every(5)), T0, T0, "bob")
    shown = change_row(JobChange("sweep", "rescheduled", definition, job()))
    assert shown == {"job": "sweep", "change": "rescheduled", "schedule": "every 5m", "was": "every 10m"}
    assert change_row(JobChange("sweep", "changed", definition, job(schedule=every(5))))["was"] is None
    assert change_row(JobChange("sweep", "removed", None, job()))["schedule"] == "every 10m"


def test_stretches_of_time_are_shown_in_a_fitting_unit() -> None:
    shown = {seconds: span_text(seconds) for seconds in (0, 0.4, 59, 119, 120, 7199, 7200, 172_800, -90, -7200)}
    assert list(shown.values()) == ["0 s", "0 s", "59 s", "119 s", "2 min", "120 min", "2 h", "2 d", "-90 s", "-2 h"]


def test_moments_are_shown_in_utc_to_the_millisecond() -> None:
    assert utc_text(None) is None
    assert utc_text(T0.astimezone(every(1, "Asia/Kolkata").zone)) == "2026-11-24T10:00:00.000Z"
