"""What a job has to do now: due, missed and skipped runs under each policy, by the minute and after years."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.job import Job, Missed
from scheduler.jobs.pending import MOST_COUNTED, Decision, Skipped, decide
from scheduler.jobs.schedule import Schedule

UTC_ZONE = ZoneInfo("UTC")
T0 = datetime(2026, 11, 24, 10, tzinfo=UTC)
TEN = timedelta(minutes=10)
POLICIES: tuple[Missed, ...] = ("skip", "latest", "all")


def job(
    missed: Missed = "latest", *, period: timedelta = TEN, jitter: timedelta = timedelta(0), limit: int = 1000
) -> Job:
    return Job(
        name="sweep",
        schedule=Schedule(Every(period), UTC_ZONE),
        missed=missed,
        jitter=jitter,
        missed_limit=limit,
        grace=timedelta(minutes=1),
    )


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


@pytest.mark.parametrize("missed", POLICIES)
def test_nothing_is_done_before_the_time(missed: Missed) -> None:
    assert decide(job(missed), T0, at(9.99)) == Decision([], [], 0, at(10))


@pytest.mark.parametrize("missed", POLICIES)
def test_a_run_is_emitted_at_its_time(missed: Missed) -> None:
    decision = decide(job(missed), T0, at(10))
    assert decision == Decision([at(10)], [], 0, at(20))
    assert decision.settled == at(10)


@pytest.mark.parametrize("missed", POLICIES)
def test_a_run_within_its_grace_is_emitted(missed: Missed) -> None:
    assert decide(job(missed), T0, at(11)).emit == [at(10)]


def test_a_run_later_than_its_grace_is_skipped_where_late_runs_are_useless() -> None:
    decision = decide(job("skip"), T0, at(11) + timedelta(microseconds=1))
    assert decision == Decision([], [Skipped(at(10), at(10), 1)], 1, at(20))
    assert decision.settled == at(10)


@pytest.mark.parametrize("missed", ["latest", "all"])
def test_a_run_later_than_its_grace_is_emitted_otherwise(missed: Missed) -> None:
    assert decide(job(missed), T0, at(19)) == Decision([at(10)], [], 0, at(20))


def test_after_an_outage_latest_emits_the_newest_and_skips_the_others() -> None:
    assert decide(job("latest"), T0, at(125)) == Decision([at(120)], [Skipped(at(10), at(110), 11)], 11, at(130))


def test_after_an_outage_all_emits_all_in_order() -> None:
    decision = decide(job("all"), T0, at(125))
    assert decision.emit == [at(minutes) for minutes in range(10, 130, 10)]
    assert (decision.skipped, decision.missed, decision.next) == ([], 0, at(130))


def test_after_an_outage_all_emits_no_more_than_its_limit_and_skips_the_oldest() -> None:
    decision = decide(job("all", limit=3), T0, at(125))
    assert decision == Decision([at(100), at(110), at(120)], [Skipped(at(10), at(90), 9)], 9, at(130))


def test_after_an_outage_skip_emits_the_newest_only_within_its_grace() -> None:
    skipped = [Skipped(at(10), at(110), 11)]
    assert decide(job("skip"), T0, at(120.5)) == Decision([at(120)], skipped, 11, at(130))
    assert decide(job("skip"), T0, at(125)) == Decision([], [Skipped(at(10), at(120), 12)], 12, at(130))


def test_what_was_skipped_before_counts_for_the_next_run() -> None:
    first = decide(job("skip"), T0, at(125))
    assert first.settled is not None
    second = decide(job("skip"), first.settled, at(130), missed_before=first.missed)
    assert second == Decision([at(130)], [], 12, at(140))
    quiet = decide(job("skip"), at(120), at(121), missed_before=12)
    assert quiet.missed == 12


def test_many_runs_come_in_several_decisions_that_leave_none_out() -> None:
    sweep, last, now = job("all", period=timedelta(seconds=1), limit=10_000), T0, at(60)
    emitted: list[datetime] = []
    while True:
        decision = decide(sweep, last, now, most_emitted=1000)
        emitted += decision.emit
        if decision.next is not None and decision.next > now:
            break
        assert decision.settled is not None
        last = decision.settled
    assert emitted == [T0 + timedelta(seconds=second) for second in range(1, 3601)]


def test_a_clock_set_back_repeats_nothing() -> None:
    for missed in POLICIES:
        assert decide(job(missed), at(120), at(30)) == Decision([], [], 0, at(130))


def test_a_job_that_isnt_enabled_has_nothing_to_do() -> None:
    assert decide(replace(job(), enabled=False), T0, at(500)) == Decision([], [], 0, None)


def test_a_schedule_that_has_ended_isnt_looked_at_again() -> None:
    ended = replace(job("all"), schedule=Schedule(Every(TEN), UTC_ZONE, ends=at(20)))
    assert decide(ended, T0, at(500)) == Decision([at(10), at(20)], [], 0, None)
    assert decide(ended, at(20), at(500)) == Decision([], [], 0, None)


def test_a_new_job_doesnt_make_up_for_the_time_before_it_was_there() -> None:
    assert decide(job("all"), at(34), at(35)) == Decision([], [], 0, at(40))


def test_jitter_delays_a_run_but_not_its_scheduled_time() -> None:
    sweep = job(jitter=timedelta(minutes=5))
    due = sweep.due_at(at(10))
    assert at(10) < due <= at(15)
    assert decide(sweep, T0, due - timedelta(milliseconds=1)) == Decision([], [], 0, due)
    assert decide(sweep, T0, due).emit == [at(10)]
    assert decide(sweep, T0, due).next == sweep.due_at(at(20))


def test_grace_begins_when_jitter_ends() -> None:
    sweep = job("skip", jitter=timedelta(minutes=5))
    due = sweep.due_at(at(10))
    assert decide(sweep, T0, due + timedelta(minutes=1)).emit == [at(10)]
    assert decide(sweep, T0, due + timedelta(minutes=1, milliseconds=1)).emit == []


@pytest.mark.parametrize("missed", POLICIES)
def test_a_year_of_absence_costs_a_job_of_every_second_nothing(missed: Missed) -> None:
    cron = replace(job(missed), schedule=Schedule(Cron("* * * * * *", ZoneInfo("Europe/Paris")), UTC_ZONE))
    for each in (job(missed, period=timedelta(seconds=1)), cron):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            decision = decide(each, T0 - timedelta(days=365), T0)
            seconds.append(time.perf_counter() - began)
        assert min(seconds) < 0.1
        (skipped,) = decision.skipped
        assert (skipped.count, skipped.capped) == (MOST_COUNTED, True)
        assert skipped.first == T0 - timedelta(days=365) + timedelta(seconds=1)
        assert len(decision.emit) == {"skip": 1, "latest": 1, "all": 1000}[missed]
        assert decision.emit[-1] == T0


@pytest.mark.parametrize("missed", POLICIES)
def test_every_time_is_emitted_or_skipped_exactly_once_however_a_scheduler_is_interrupted(missed: Missed) -> None:
    for seed in range(30):
        chance = random.Random(f"{missed} {seed}")
        jitter = timedelta(seconds=chance.choice([0, 0, 7]))
        sweep = job(missed, period=timedelta(seconds=chance.randint(8, 90)), jitter=jitter, limit=chance.randint(1, 50))
        last, now, missed_count = T0, T0, 0
        settled: dict[datetime, Literal["emitted", "skipped"]] = {}
        for _ in range(60):
            now += timedelta(seconds=chance.choice([-30, 0.5, 3, 10, 100, 4000]))
            decision = decide(sweep, last, now, missed_before=missed_count, most_emitted=chance.randint(1, 60))
            new: list[tuple[datetime, Literal["emitted", "skipped"]]] = []
            for skipped in decision.skipped:
                moments = between(sweep, skipped.first, skipped.last)
                assert len(moments) == skipped.count
                new += [(moment, "skipped") for moment in moments]
            new += [(moment, "emitted") for moment in decision.emit]
            assert [moment for moment, _ in new] == sorted(moment for moment, _ in new)
            assert all(moment not in settled and moment > last for moment, _ in new)
            assert all(sweep.due_at(moment) <= now for moment in decision.emit)
            settled.update(new)
            missed_count = 0 if decision.emit else decision.missed
            last = decision.settled or last
            assert decision.next is not None
            assert decision.next == sweep.due_at(
                between(sweep, last + timedelta(microseconds=1), last + timedelta(hours=1))[0]
            )
        assert list(settled) == between(sweep, T0 + timedelta(microseconds=1), last)


def between(sweep: Job, first: datetime, last: datetime) -> list[datetime]:
    found = []
    moment = sweep.schedule.after(first - timedelta(microseconds=1))
    while moment is not None and moment <= last:
        found.append(moment)
        moment = sweep.schedule.after(moment)
    return found
