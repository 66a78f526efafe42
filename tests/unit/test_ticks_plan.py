"""What is to be done for a job at a moment: ticks, and times without one, under each policy and after each mishap."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.jobs.job import Missed
from scheduler.ticks.books import Page, Pause
from scheduler.ticks.plan import Plan, Skip, Tick, plan, run_by_hand, settled_until
from tests.unit.ticks_samples import EVENT, T0, at, every, job, page, ran, request, state

POLICIES: tuple[Missed, ...] = ("skip", "latest", "all")


def planned(of: Page, now: datetime, *, finished: bool | None = None) -> Plan:
    """The plan for a page; whoever isn't told whether a run is finished must not ask."""

    def is_finished() -> bool:
        assert finished is not None, "nobody needs to know whether the last run is finished"
        return finished

    return plan(of, now, is_finished)


@pytest.mark.parametrize("missed", POLICIES)
def test_nothing_is_done_before_a_jobs_first_time(missed: Missed) -> None:
    made = planned(page(job(missed=missed)), at(9.99))
    assert made.is_empty
    assert (made.settled, made.next) == (None, at(10))


@pytest.mark.parametrize("missed", POLICIES)
def test_a_tick_is_due_at_its_time_and_the_next_time_follows(missed: Missed) -> None:
    made = planned(page(job(missed=missed)), at(10))
    assert made.ticks == [Tick(at(10), sequence=1)]
    assert (made.skips, made.settled, made.skipped, made.next) == ([], at(10), 0, at(20))


def test_ticks_are_numbered_on_from_where_the_job_stands() -> None:
    made = planned(page(state=state(at(10), sequence=7)), at(20))
    assert made.ticks == [Tick(at(20), sequence=8)]


def test_every_missed_time_is_made_up_for_where_all_count() -> None:
    made = planned(page(job(missed="all"), state=state(at(10), sequence=1)), at(45))
    assert made.ticks == [Tick(at(20), 2), Tick(at(30), 3), Tick(at(40), 4)]
    assert made.skips == []


def test_the_newest_time_says_how_many_were_missed_where_the_latest_counts() -> None:
    made = planned(page(job(missed="latest"), state=state(at(10), sequence=1)), at(45))
    assert made.ticks == [Tick(at(40), 2, missed=2)]
    assert made.skips == [Skip(at(20), at(30), 2, "missed", 'missed = "latest"')]
    assert (made.settled, made.skipped) == (at(40), 0)


def test_missed_times_are_only_recorded_where_they_are_to_be_skipped() -> None:
    made = planned(page(job(missed="skip"), state=state(at(10), sequence=1)), at(45))
    assert made.ticks == []
    assert made.skips == [Skip(at(20), at(40), 3, "missed", 'missed = "skip"')]
    assert (made.settled, made.skipped, made.next) == (at(40), 3, at(50))


def test_what_was_skipped_before_is_told_by_the_next_tick() -> None:
    made = planned(page(job(missed="skip"), state=state(at(40), sequence=1, skipped=3)), at(50))
    assert made.ticks == [Tick(at(50), 2, missed=3)]
    assert made.skipped == 0


def test_no_more_than_the_limit_are_made_up_for() -> None:
    made = planned(page(job(missed="all", missed_limit=2), state=state(T0)), at(45))
    assert made.ticks == [Tick(at(30), 1, missed=2), Tick(at(40), 2)]
    assert made.skips == [Skip(at(10), at(20), 2, "missed", 'missed = "all"')]


def test_so_many_missed_times_that_they_are_not_counted_are_said_to_be_more() -> None:
    made = planned(page(job(schedule=every(1 / 60), missed="latest")), T0 + timedelta(days=365))
    (skip,) = made.skips
    assert (skip.count, skip.detail) == (100_000, 'missed = "latest", or more')


def test_a_disabled_job_has_no_ticks_and_misses_none() -> None:
    made = planned(page(job(enabled=False)), at(45))
    assert made.is_empty
    assert made.next is None


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    made = planned(page(state=state(at(40), sequence=4)), at(15))
    assert made.is_empty
    assert made.next == at(50)


def test_a_changed_schedule_counts_from_its_change() -> None:
    # It was settled up to 10:10, and at 10:41 there came a schedule of every five minutes.
    changed = page(job(schedule=every(5), missed="all"), state=state(at(10), sequence=1), since=at(41))
    assert settled_until(changed) == at(41)
    assert planned(changed, at(44)).is_empty
    assert planned(changed, at(51)).ticks == [Tick(at(45), 2), Tick(at(50), 3)]


def test_a_schedule_that_changes_while_the_clock_is_behind_repeats_nothing_either() -> None:
    changed = page(job(schedule=every(5), missed="all"), state=state(at(40), sequence=4), since=at(12))
    assert planned(changed, at(35)).is_empty
    assert planned(changed, at(45)).ticks == [Tick(at(45), 5)]


def test_jitter_puts_a_tick_off_but_not_its_scheduled_time() -> None:
    late = job(jitter=timedelta(minutes=5))
    due_at = late.due_at(at(10))
    assert at(10) < due_at < at(15)
    assert planned(page(late), due_at - timedelta(milliseconds=1)).next == due_at
    assert planned(page(late), due_at).ticks == [Tick(at(10), 1)]


def test_a_paused_job_has_nothing_to_do_until_it_is_resumed() -> None:
    made = planned(page(state=state(at(10), sequence=1), pause=Pause(at(12), None, "alice")), at(45))
    assert made.is_empty
    assert (made.settled, made.next) == (None, None)


@pytest.mark.parametrize("missed", POLICIES)
def test_times_in_a_pause_that_is_over_are_recorded_as_paused(missed: Missed) -> None:
    over = Pause(at(12), at(41), "alice", "the warehouse moves")
    made = planned(page(job(missed=missed), state=state(at(10), sequence=1), pause=over), at(42))
    assert made.ticks == []
    assert made.skips == [Skip(at(20), at(40), 3, "paused", "by alice: the warehouse moves")]
    assert (made.settled, made.skipped, made.next) == (at(40), 3, at(50))


def test_the_first_tick_after_a_pause_tells_how_many_it_took() -> None:
    over = Pause(at(12), at(41), "alice")
    made = planned(page(job(missed="all"), state=state(at(10), sequence=1), pause=over), at(50))
    assert made.skips == [Skip(at(20), at(40), 3, "paused", "by alice")]
    assert made.ticks == [Tick(at(50), 2, missed=3)]


def test_times_that_nobody_had_emitted_when_the_job_was_paused_are_missed_not_paused() -> None:
    over = Pause(at(25), at(41), "alice")
    made = planned(page(job(missed="all"), state=state(T0), pause=over), at(42))
    assert made.skips == [
        Skip(at(10), at(20), 2, "missed", "not emitted before the job was paused"),
        Skip(at(30), at(40), 2, "paused", "by alice"),
    ]
    assert (made.settled, made.skipped) == (at(40), 4)


def test_a_pause_that_was_settled_is_not_told_again() -> None:
    over = Pause(at(12), at(41), "alice")
    made = planned(page(job(missed="all"), state=state(at(50), sequence=2), pause=over), at(60))
    assert (made.skips, made.ticks) == ([], [Tick(at(60), 3)])


def test_a_pause_without_a_time_in_it_takes_nothing() -> None:
    made = planned(page(state=state(at(10), sequence=1), pause=Pause(at(12), at(13), "alice")), at(14))
    assert made.is_empty
    assert made.next == at(20)


def test_a_job_disabled_during_its_pause_misses_nothing() -> None:
    over = Pause(at(12), at(41), "alice")
    assert planned(page(job(enabled=False), state=state(at(10)), pause=over), at(45)).is_empty


def careful(**changed: Any) -> Page:
    """A page of a job that must not overlap itself, and has run at 10:10."""
    declared = job(overlap="skip", emit=EVENT, stream="image", **changed)
    return page(declared, state=state(at(10), sequence=1, ran=ran(at(10))))


def test_a_run_is_skipped_while_the_one_before_it_is_unfinished() -> None:
    made = planned(careful(), at(20), finished=False)
    assert made.ticks == []
    assert made.skips == [Skip(at(20), at(20), 1, "overlap", "0d9a is unfinished")]
    assert (made.settled, made.skipped, made.next) == (at(20), 1, at(30))


def test_a_run_follows_once_the_one_before_it_is_finished() -> None:
    assert planned(careful(), at(20), finished=True).ticks == [Tick(at(20), 2)]


def test_only_the_first_of_several_runs_is_made_up_for_where_runs_must_not_overlap() -> None:
    made = planned(careful(missed="all"), at(45), finished=True)
    assert made.ticks == [Tick(at(20), 2)]
    assert [skip.first for skip in made.skips] == [at(30), at(40)]
    assert {skip.reason for skip in made.skips} == {"overlap"}
    assert (made.settled, made.skipped) == (at(40), 2)


def test_the_first_run_of_all_overlaps_nothing() -> None:
    assert planned(page(job(overlap="skip", emit=EVENT, stream="image")), at(10)).ticks == [Tick(at(10), 1)]


def test_a_run_by_hand_is_beside_the_schedule_and_takes_no_number() -> None:
    wish = request(asked_at=at(13))
    assert run_by_hand(page(state=state(at(10), sequence=7)), wish) == Tick(at(13), 7, request=wish)
    assert run_by_hand(page(), wish) == Tick(at(13), 0, request=wish)
