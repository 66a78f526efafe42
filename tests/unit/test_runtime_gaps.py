"""Gaps: what follows on what came before is taken, what is missing is looked at once more, what came twice is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.sample_message import SampleMessage
from tidemill.runtime.gaps import Gaps

KEY = ("step.asked", 0)


def some(offsets: Iterable[int]) -> Any:
    return [SampleMessage(offset) for offset in offsets]


def offsets(messages: Sequence[Any]) -> list[int]:
    return [message.offset() for message in messages]


class Log:
    """A partition as the broker has it: reading from an offset gives what is there, in fetches of some length."""

    def __init__(self, there: Iterable[int], fetch: int = 10) -> None:
        self.there = sorted(there)
        self.fetch = fetch
        self.looks = 0

    def read_all(self, gaps: Gaps, start: int) -> list[int]:
        gaps.begin(KEY, start)
        taken: list[int] = []
        position = start
        while fetched := [offset for offset in self.there if offset >= position][: self.fetch]:
            taken += offsets(gaps.sift(KEY, some(fetched)))
            position = fetched[-1] + 1
            if (again := gaps.look_again.pop(KEY, None)) is not None:
                self.looks += 1
                position = again
        return taken


@pytest.fixture
def gaps() -> Gaps:
    return Gaps("steps")


def test_messages_that_follow_on_each_other_are_taken_as_they_are(gaps: Gaps) -> None:
    gaps.begin(KEY, 5)
    first, second = some(range(5, 8)), some(range(8, 20))
    assert gaps.sift(KEY, first) is first
    assert gaps.sift(KEY, second) is second
    assert gaps.look_again == {}


@pytest.mark.parametrize("start", [-2, -1001])
def test_the_first_of_a_partition_without_a_known_start_may_have_any_offset(gaps: Gaps, start: int) -> None:
    gaps.begin(KEY, start)
    assert offsets(gaps.sift(KEY, some([700, 701]))) == [700, 701]
    assert gaps.look_again == {}


def test_events_that_were_skipped_are_read_again_in_their_order(gaps: Gaps) -> None:
    gaps.begin(KEY, 10)
    with capture_logs() as log:
        assert offsets(gaps.sift(KEY, some([15, 16]))) == []
        assert gaps.look_again.pop(KEY) == 10
        assert offsets(gaps.sift(KEY, some(range(10, 20)))) == list(range(10, 20))
    assert gaps.look_again == {}
    (told,) = log
    assert (told["log_level"], told["event"]) == ("warning", "events were skipped, and came when read again")
    assert (told["partition"], told["offset"]) == (0, 10)


def test_what_lies_before_a_gap_is_taken_and_what_lies_behind_it_waits(gaps: Gaps) -> None:
    gaps.begin(KEY, 0)
    assert offsets(gaps.sift(KEY, some([0, 1, 2, 7, 8]))) == [0, 1, 2]
    assert gaps.look_again == {KEY: 3}


def test_a_gap_that_is_there_again_is_the_log_s_own_and_only_debug_tells_it(gaps: Gaps) -> None:
    gaps.begin(KEY, 10)
    gaps.sift(KEY, some([15]))
    gaps.look_again.clear()
    with capture_logs() as log:
        assert offsets(gaps.sift(KEY, some([15, 16]))) == [15, 16]
    assert gaps.look_again == {}
    assert [(entry["log_level"], entry["offset"], entry["up_to"]) for entry in log] == [("debug", 10, 15)]


def test_what_comes_twice_is_handled_once(gaps: Gaps) -> None:
    gaps.begin(KEY, 0)
    gaps.sift(KEY, some(range(10)))
    with capture_logs() as log:
        assert offsets(gaps.sift(KEY, some([7, 8, 9, 10, 11]))) == [10, 11]
    assert [(entry["log_level"], entry["events"]) for entry in log] == [("warning", 3)]
    assert offsets(gaps.sift(KEY, some([12]))) == [12]


@pytest.mark.parametrize("fetch", [1, 2, 7, 500])
def test_a_log_of_transactions_is_read_whole_and_few_of_its_gaps_are_looked_at(gaps: Gaps, fetch: int) -> None:
    log = Log(range(0, 4000, 2), fetch)
    assert log.read_all(gaps, 0) == log.there
    assert log.looks <= 12


def test_a_compacted_log_with_holes_of_any_size_is_read_whole(gaps: Gaps) -> None:
    log = Log({n * n for n in range(60)} | set(range(5000, 5100)) | {9000, 9002, 9500}, fetch=7)
    assert log.read_all(gaps, 0) == log.there
    assert log.looks <= 8


def test_a_new_assignment_trusts_no_gap_yet(gaps: Gaps) -> None:
    Log(range(0, 4000, 2)).read_all(gaps, 0)
    gaps.begin(KEY, 4000)
    assert offsets(gaps.sift(KEY, some([4001]))) == []
    assert gaps.look_again == {KEY: 4000}


def test_partitions_are_apart_and_a_forgotten_one_begins_anew(gaps: Gaps) -> None:
    other = ("step.asked", 1)
    gaps.begin(KEY, 0)
    gaps.begin(other, 0)
    gaps.sift(KEY, some([5]))
    assert offsets(gaps.sift(other, some([0, 1]))) == [0, 1]
    gaps.forget([KEY, other])
    assert gaps.look_again == {}
    assert offsets(gaps.sift(KEY, some([90]))) == [90]
