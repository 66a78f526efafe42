"""The rig of the ticks' storm finds what it is there to find: each kind of fault, once it is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.crash.clock.ticks_checker import judge
from tests.crash.clock.ticks_course import Record
from tests.crash.clock.ticks_jobs import emits, names
from tests.crash.clock.ticks_outages import Owned, Strike, emitted_when_fenced, gone_on, longest_gap
from tests.crash.clock.ticks_report import report, summary
from tests.crash.clock.ticks_seen import Seen, SeenTick
from tests.crash.storm.promises import broken
from tidemill.event import derived_id

JOBS = names(4)
APPLIED = 1_000.5
SECONDS = range(1_001, 1_011)
HEIR_FROM = 1_006


def tick(job: str, second: int, **changed: object) -> SeenTick:
    moment = datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
    number = JOBS.index(job)
    usual = SeenTick(
        job=job,
        sequence=second - 1_000,
        missed=0,
        by="heir" if second >= HEIR_FROM else "first",
        id=f"{job}@{moment}",
        scheduled_at=float(second),
        emitted_at=second + 0.01,
        seen_at=second + 0.05,
        partition=number % 2,
        offset=second * 10 + number,
        books=number % 2,
    )
    return replace(usual, **changed)  # type: ignore[arg-type]


def whole() -> Seen:
    """All as it should be."""
    ticks = [tick(job, second) for second in SECONDS for job in JOBS]
    return Seen(ticks, [derived_id(each.id, "emit") for each in ticks if emits(each.job)])


def faults(seen: Seen) -> set[str]:
    return {name for name, found in vars(judge(seen, JOBS, APPLIED)).items() if found}


def test_a_storm_in_which_all_is_there_once_is_clean() -> None:
    assert faults(whole()) == set()
    assert 0 < len(whole().emits) < len(whole().ticks)


def test_a_tick_that_is_missing_is_lost() -> None:
    seen = whole()
    del seen.ticks[5]
    assert faults(seen) == {"lost", "sequence_faults"}


def test_the_first_second_after_the_jobs_were_applied_counts() -> None:
    seen = whole()
    seen.ticks = [each for each in seen.ticks if each.scheduled_at > SECONDS[0]]
    assert "lost" in faults(seen)


def test_a_job_without_any_tick_is_lost() -> None:
    seen = whole()
    seen.ticks = [each for each in seen.ticks if each.job != JOBS[1]]
    assert "lost" in faults(seen)


def test_a_tick_that_is_there_twice_is_doubled() -> None:
    seen = whole()
    seen.ticks.insert(6, seen.ticks[5])
    assert "doubled" in faults(seen)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": "else@2026-11-24T10:00:00Z"}, "wrong_ids"),
        ({"sequence": 7}, "sequence_faults"),
        ({"missed": 1}, "sequence_faults"),
        ({"seen_at": 1_001.9}, "early"),
        ({"scheduled_at": 1_002.5}, "unexpected"),
        ({"job": "unknown-job-0001"}, "unexpected"),
    ],
)
def test_a_tick_that_is_not_as_it_should_be_is_found(change: dict[str, object], fault: str) -> None:
    seen = whole()
    assert seen.ticks[5].scheduled_at == 1_002.0
    seen.ticks[5] = replace(seen.ticks[5], **change)  # type: ignore[arg-type]
    assert fault in faults(seen)


def test_ticks_in_the_wrong_order_are_found() -> None:
    seen = whole()
    seen.ticks[4], seen.ticks[8] = seen.ticks[8], seen.ticks[4]
    assert faults(seen) == {"sequence_faults"}


def test_skipped_times_are_a_fault_where_all_count() -> None:
    seen = whole()
    seen.skips.append("second-0001: missed")
    assert faults(seen) == {"skipped"}


def test_a_jobs_event_is_expected_exactly_once_for_each_tick() -> None:
    lost, doubled, phantom = whole(), whole(), whole()
    lost.emits.pop()
    doubled.emits.append(doubled.emits[0])
    phantom.emits.append("0d9a")
    assert [faults(seen) for seen in (lost, doubled, phantom)] == [{"emits_lost"}, {"emits_doubled"}, {"emits_phantom"}]


STRIKE = Strike("pause", "first", 1_005.5, 1_008.5)
TAKEN = [Owned("heir", books, 1_005.95, 0.2) for books in (0, 1)]


def test_it_is_told_how_long_each_partition_of_a_struck_instance_stood_still() -> None:
    followed = gone_on(whole().ticks, TAKEN, STRIKE)
    assert [each.books for each in followed] == [0, 1]
    for each in followed:
        assert each.seconds == pytest.approx(0.55)
        assert each.noticed_seconds == pytest.approx(0.25)
        assert each.taken_over_seconds == pytest.approx(0.2)


def test_partitions_that_never_go_on_are_told() -> None:
    ticks = [each for each in whole().ticks if each.by == "first"]
    assert [each.seconds for each in gone_on(ticks, [], STRIKE)] == [None, None]


def test_partitions_of_others_do_not_concern_a_strike() -> None:
    assert gone_on(whole().ticks, TAKEN, replace(STRIKE, victim="heir")) == []


def test_a_woken_instance_that_emits_from_what_it_has_lost_is_found() -> None:
    zombie = tick(JOBS[0], 1_009, by="first")
    assert emitted_when_fenced([*whole().ticks, zombie], TAKEN, STRIKE) == [zombie]
    again = [*TAKEN, Owned("first", 0, 1_008.8, 0.1)]
    assert emitted_when_fenced([*whole().ticks, zombie], again, STRIKE) == []


def test_the_longest_gap_is_that_in_which_nothing_was_seen() -> None:
    ticks = [each for each in whole().ticks if each.scheduled_at not in (1_004.0, 1_005.0)]
    gap = longest_gap(ticks)
    assert gap.seconds == pytest.approx(3.0)
    assert gap.start_seconds == pytest.approx(1_003.05)


def course(seen: Seen, **changed: object) -> Record:
    usual = Record(JOBS, APPLIED, 1_001.0, seen, [STRIKE], TAKEN, {STRIKE.start_seconds: ["fenced: taken over"]})
    return replace(usual, **changed)  # type: ignore[arg-type]


def test_the_report_of_a_storm_that_went_well_says_so() -> None:
    found, promises = report(course(whole()), {"seed": 1})
    assert broken(promises) == []
    told = summary(found, promises)
    assert "BROKEN" not in told
    assert "40 ticks of 4 jobs in 10 seconds" in told
    assert found["figures"]["longest_gap"]["seconds"] == 1.0
    assert found["strikes"][0]["said"] == {"fenced: taken over": 1}


def test_the_report_tells_what_a_storm_has_broken() -> None:
    short = whole()
    del short.ticks[-7]
    for record, name in (
        (course(short), "lost"),
        (course(whole(), admissions={}), "woken instances that didn't say so"),
        (course(whole(), fallen=["first ended by itself"]), "schedulers that ended otherwise"),
        (course(whole(), behind="60 s"), "jobs up to date in the end"),
    ):
        found, promises = report(record, {})
        faulty = [promise.name for promise in promises if promise.held is False]
        assert name in faulty, found
        assert "BROKEN" in summary(found, promises)


def test_jobs_that_go_on_too_late_break_their_promise() -> None:
    late = whole()
    late.ticks = [
        replace(each, seen_at=each.seen_at + 12) if each.scheduled_at >= HEIR_FROM else each for each in late.ticks
    ]
    _, promises = report(course(late), {})
    (promise,) = [each for each in promises if each.name == "jobs go on, seconds"]
    assert (promise.held, promise.found) == (False, 12.55)
