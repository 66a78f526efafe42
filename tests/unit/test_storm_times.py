"""The storm's times: stalls and what they are laid to, how soon a struck worker's partitions go on, growing memory."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.crash.storm.acts import Act, How, Victim
from tests.crash.storm.aftermath import Aftermath, aftermaths
from tests.crash.storm.evidence import Evidence
from tests.crash.storm.ledgers import Handled, Mark, Published
from tests.crash.storm.memory import medians_mb, slope_mb_per_minute
from tests.crash.storm.notes import Doing, note
from tests.crash.storm.sampling import Memory, Sample
from tests.crash.storm.stalls import stalls


def asked(event: str, at: float, *, partition: int = 0, note: str = note(Doing.WELL)) -> list[Published]:
    """The two lines of an event that was acknowledged at once."""
    return [
        Published("asked", at, event, "parcels", event, 0, note),
        Published("acknowledged", at, event, "parcels", event, 0, note, partition),
    ]


def line(mark: Mark, event: str, at: float, *, partition: int = 0, worker: int = 1) -> Handled:
    """A line of the handlers' ledger."""
    return Handled(mark, at, event, "parcels", event, 0, partition, 1, worker)


def evidence(published: Iterable[list[Published]], handled: list[Handled]) -> Evidence:
    """Ledgers without topics: times need no more."""
    return Evidence([entry for entries in published for entry in entries], handled, [], [], [])


def act(start: float, end: float, most_stall_seconds: float | None = 5.0, nemesis: str = "kill-worker") -> Act:
    return Act(start, end, nemesis, "", most_stall_seconds)


def spans(left: Evidence, end_seconds: float = 100.0) -> list[tuple[float, float]]:
    return [(stall.start_seconds, stall.end_seconds) for stall in stalls(left, [], end_seconds)]


def test_a_time_in_which_nothing_is_finished_although_something_waits_is_a_stall() -> None:
    left = evidence(
        [asked("a", 10.0), asked("b", 10.2), asked("c", 14.0)],
        [line("DONE", "a", 10.5), line("DONE", "b", 17.5), line("DONE", "c", 17.6)],
    )
    assert spans(left) == [(10.5, 17.5)]


def test_a_time_in_which_nothing_waits_is_no_stall() -> None:
    left = evidence([asked("a", 10.0), asked("b", 50.0)], [line("DONE", "a", 10.5), line("DONE", "b", 50.5)])
    assert spans(left) == []


def test_a_stall_begins_with_the_event_that_waits() -> None:
    left = evidence([asked("a", 10.0), asked("b", 50.0)], [line("DONE", "a", 10.5), line("DONE", "b", 53.0)])
    assert spans(left) == [(50.0, 53.0)]


def test_a_stall_that_never_ends_lasts_to_the_end() -> None:
    left = evidence([asked("a", 10.0), asked("b", 20.0)], [line("DONE", "a", 10.5), line("START", "b", 20.1)])
    assert spans(left) == [(20.0, 100.0)]
    late = evidence([asked("a", 10.0), asked("b", 20.0)], [line("DONE", "a", 10.5), line("DONE", "b", 300.0)])
    assert spans(late) == [(20.0, 100.0)]


def test_an_event_that_may_never_have_been_published_does_not_wait() -> None:
    unknown = [*asked("b", 20.0)[:1], Published("unknown", 90.0, "b", "parcels", "b", 0, note(Doing.WELL))]
    assert spans(evidence([asked("a", 10.0), unknown], [line("DONE", "a", 10.5)])) == []


def test_an_event_that_becomes_a_dead_letter_does_not_wait_for_ever() -> None:
    refused = note(Doing.REFUSE_ALWAYS)
    left = evidence(
        [asked("a", 10.0, note=refused), asked("b", 60.0)], [line("START", "a", 10.1), line("DONE", "b", 60.1)]
    )
    assert spans(left) == []


def test_repeated_completions_count_as_movement() -> None:
    left = evidence(
        [asked("a", 10.0), asked("b", 10.0)],
        [line("DONE", "a", 10.5), line("DONE", "a", 11.2), line("DONE", "a", 12.0), line("DONE", "b", 12.5)],
    )
    assert spans(left) == []


def test_a_stall_is_laid_to_the_acts_in_it_and_to_one_that_has_just_ended() -> None:
    left = evidence([asked("a", 10.0), asked("b", 10.0)], [line("DONE", "a", 20.0), line("DONE", "b", 26.0)])
    acts = [
        act(1.0, 2.0, nemesis="long-ago"),
        act(18.5, 19.0, nemesis="just-before"),
        act(22.0, 23.0, 15.0, "kill-broker"),
    ]
    (first, second) = stalls(left, acts, 100.0)
    assert [each.nemesis for each in first.during] == ["just-before"]
    assert [each.nemesis for each in second.during] == ["just-before", "kill-broker"]
    assert (first.seconds, second.seconds) == (10.0, 6.0)
    assert (first.most_seconds, second.most_seconds) == (5.0, 15.0)


def test_where_nothing_is_promised_for_an_act_nothing_is_promised_for_its_stall() -> None:
    left = evidence([asked("a", 10.0), asked("b", 10.0)], [line("DONE", "a", 10.1), line("DONE", "b", 26.0)])
    (stall,) = stalls(left, [act(11.0, 12.0), act(13.0, 14.0, None)], 100.0)
    assert stall.most_seconds is None


def test_a_stall_in_a_calm_may_be_no_longer_than_one_under_an_act_on_workers() -> None:
    left = evidence([asked("a", 10.0), asked("b", 10.0)], [line("DONE", "a", 10.1), line("DONE", "b", 26.0)])
    (stall,) = stalls(left, [], 100.0)
    assert (stall.during, stall.most_seconds) == ((), 5.0)


def after(left: Evidence, how: How = "kill", at: float = 20.0, worker: int = 1) -> Aftermath:
    (found,) = aftermaths(left, [Victim(at, worker, how)])
    return found


def test_a_killed_workers_partitions_go_on_when_the_last_of_them_does() -> None:
    left = evidence(
        [asked("a", 10.0), asked("b", 10.0, partition=1), asked("c", 15.0), asked("d", 15.0, partition=1)],
        [
            *(line("DONE", "a", 11.0), line("DONE", "b", 11.0, partition=1)),
            *(line("DONE", "c", 23.0, worker=2), line("DONE", "d", 27.5, partition=1, worker=2)),
        ],
    )
    assert after(left).go_on_seconds == 7.5


def test_only_partitions_that_the_killed_worker_had_last_are_looked_at() -> None:
    left = evidence(
        [asked("a", 10.0), asked("b", 10.0), asked("c", 10.0)],
        [line("DONE", "a", 11.0), line("DONE", "b", 12.0, worker=2), line("DONE", "c", 40.0, worker=2)],
    )
    assert after(left).go_on_seconds is None


def test_time_in_which_a_partition_has_nothing_to_do_does_not_count() -> None:
    left = evidence([asked("a", 10.0), asked("b", 33.0)], [line("DONE", "a", 11.0), line("DONE", "b", 34.0, worker=2)])
    assert after(left).go_on_seconds == 1.0


def test_a_partition_that_never_goes_on_takes_for_ever() -> None:
    left = evidence([asked("a", 10.0), asked("b", 15.0)], [line("DONE", "a", 11.0)])
    assert after(left).go_on_seconds == float("inf")


def test_what_a_worker_finishes_after_sigterm_is_no_sign_that_others_go_on() -> None:
    left = evidence(
        [asked("a", 10.0), asked("b", 15.0), asked("c", 15.0)],
        [line("DONE", "a", 11.0), line("DONE", "b", 21.0), line("DONE", "c", 24.0, worker=2)],
    )
    assert after(left, "term").go_on_seconds == 4.0


def test_a_paused_worker_may_be_the_one_that_goes_on() -> None:
    left = evidence([asked("a", 10.0), asked("b", 15.0)], [line("DONE", "a", 11.0), line("DONE", "b", 22.0)])
    assert after(left, "pause").go_on_seconds == 2.0


def test_what_was_in_work_and_what_was_finished_and_ran_again_are_told_apart() -> None:
    left = evidence(
        [asked(event, 10.0) for event in "abcd"],
        [
            *(line("START", "a", 11.0), line("DONE", "a", 12.0)),
            *(line("START", "b", 11.0), line("DONE", "b", 12.0)),
            line("START", "c", 19.0),
            # After the kill, elsewhere: one that was finished, and the one that was in work.
            *(line("START", "b", 27.0, worker=2), line("DONE", "b", 27.5, worker=2)),
            *(line("START", "c", 27.0, worker=2), line("DONE", "c", 27.5, worker=2)),
        ],
    )
    found = after(left)
    assert (found.in_work, found.finished_again) == (1, 1)


def sample(at: float, **pss_mb: float) -> Sample:
    workers = {name: Memory(number, 600.0, size) for number, (name, size) in enumerate(pss_mb.items())}
    return Sample(at, 0, 0, 0, workers)


def test_growing_memory_has_a_slope() -> None:
    samples = [sample(float(second), one=80 + second / 60, two=90.0) for second in range(600)]
    assert slope_mb_per_minute(samples) == pytest.approx(0.5)


def test_a_young_process_beside_an_old_one_is_no_growth() -> None:
    # Another process in the same place, larger from its begin: each is compared with itself.
    samples = [Sample(float(t), 0, 0, 0, {"one": Memory(t // 350, 90.0, 80.0 + 20 * (t // 350))}) for t in range(700)]
    assert slope_mb_per_minute(samples) == pytest.approx(0.0)


def test_processes_that_have_just_begun_say_nothing_about_growth() -> None:
    samples = [Sample(float(t), 0, 0, 0, {"one": Memory(1, t % 60, 80.0 + t)}) for t in range(600)]
    assert slope_mb_per_minute(samples) is None


def test_a_short_storm_says_nothing_about_growth() -> None:
    assert slope_mb_per_minute([sample(float(t), one=80.0 + t) for t in range(100)]) is None
    assert slope_mb_per_minute([]) is None


def test_memory_is_told_for_each_five_minutes_of_settled_processes() -> None:
    def at(second: int) -> Sample:
        young = Memory(2, 10.0, 500.0)
        return Sample(float(second), 0, 0, 0, {"one": Memory(1, 600.0, 80.0 + second // 300), "two": young})

    assert medians_mb([at(second) for second in range(900)]) == [80.0, 81.0, 82.0]
    # A rest of two minutes counts to the span before.
    assert medians_mb([at(second) for second in range(0, 720, 10)]) == [80.0, 81.0]
    assert medians_mb([at(second) for second in range(60)]) == [80.0]


def test_five_minutes_in_which_no_process_settles_have_no_memory_to_tell() -> None:
    young = [Sample(float(t), 0, 0, 0, {"one": Memory(1, 5.0, 80.0)}) for t in range(301)]
    old = [Sample(float(t), 0, 0, 0, {"one": Memory(1, 90.0, 80.0)}) for t in range(301, 600)]
    assert medians_mb([*young, *old]) == [None, 80.0]
    assert medians_mb([]) == []
