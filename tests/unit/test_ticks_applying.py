"""What changes when a schedule is put into force: from when on times count, and what is left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scheduler.jobs.job import Emit, Job
from scheduler.ticks.applying import JobChange, changes
from scheduler.ticks.books import Definition, Page
from tests.unit.ticks_samples import EVENT, T0, at, cron, every, job, page, state

NOW = at(41)


def changed(pages: dict[str, Page], *jobs: Job) -> list[JobChange]:
    return changes(pages, jobs, NOW, "bob@sails")


def change_of(before: dict[str, Any], after: dict[str, Any]) -> JobChange:
    (found,) = changed({"sweep": page(job(**before))}, job(**after))
    assert found.was == job(**before)
    return found


def test_a_new_job_counts_from_now_on() -> None:
    assert changed({}, job()) == [JobChange("sweep", "added", Definition(job(), NOW, NOW, "bob@sails"), None)]


def test_a_job_that_is_as_it_was_is_left_alone() -> None:
    assert changed({"sweep": page(job(emit=EVENT))}, job(emit=EVENT)) == []


def test_a_job_with_other_times_counts_from_now_on() -> None:
    for after in (
        {"schedule": every(5)},
        {"schedule": cron("*/10 * * * *")},
        {"schedule": every(10, "Asia/Kolkata")},
        {"jitter": timedelta(seconds=30)},
    ):
        found = change_of({}, after)
        assert (found.action, found.definition) == ("rescheduled", Definition(job(**after), NOW, NOW, "bob@sails"))


def test_a_job_that_only_emits_something_else_goes_on_counting_from_where_it_did() -> None:
    other = Emit(type="image.requested", payload={"source": "file:///other.jpg", "renditions": []})
    for after in ({"emit": other}, {"emit": None}, {"missed": "all"}, {"grace": timedelta(hours=1)}):
        found = change_of({"emit": EVENT}, after if "emit" in after else {"emit": EVENT, **after})
        assert found.action == "changed"
        assert found.definition is not None
        assert (found.definition.since, found.definition.applied_at) == (T0, NOW)


def test_a_job_that_is_switched_on_again_makes_nothing_up_for_the_time_it_was_off() -> None:
    found = change_of({"enabled": False}, {"enabled": True})
    assert found.definition is not None
    assert (found.action, found.definition.since) == ("rescheduled", NOW)


def test_a_job_that_the_schedule_does_not_name_is_removed() -> None:
    assert changed({"sweep": page()}) == [JobChange("sweep", "removed", None, job())]


def test_a_job_that_was_removed_before_is_not_removed_again_but_may_return() -> None:
    gone = {"sweep": Page("sweep", None, state(at(10), sequence=1))}
    assert changed(gone) == []
    (found,) = changed(gone, job())
    assert found.definition is not None
    assert (found.action, found.definition.since) == ("added", NOW)


def test_all_changes_are_told_in_the_order_of_the_names() -> None:
    pages = {name: page(job(name)) for name in ("c-gone", "a-same", "b-faster")}
    found = changed(pages, job("d-new"), job("b-faster", schedule=every(1)), job("a-same"))
    assert [(change.name, change.action) for change in found] == [
        ("b-faster", "rescheduled"),
        ("c-gone", "removed"),
        ("d-new", "added"),
    ]
