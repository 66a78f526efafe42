"""Lanes and offsets of one partition: what may start, and what may be committed."""

from __future__ import annotations

import random

import pytest

from tests.unit.sample_message import SampleMessage
from tidemill.runtime.facts import facts_of
from tidemill.runtime.finished import Held, from_metadata
from tidemill.runtime.partition import MERGE_UNITS, Partition, Unit, units_of


def unit(part: Partition, offset: int, key: bytes | None = b"k", count: int = 1, size: int = 10) -> Unit:
    return Unit(part, [None] * count, key, offset, offset + count, size)  # type: ignore[list-item]


def told(part: Partition) -> tuple[int, list[range]]:
    """What would be committed: the offset, and what is finished beyond it."""
    progress = part.progress()
    assert progress is not None
    return progress.offset, from_metadata(progress.offset, progress.metadata).finished


@pytest.fixture
def part() -> Partition:
    return Partition("t", 0, ordered=True)


def test_nothing_is_committed_past_an_event_that_is_not_done(part: Partition) -> None:
    units = [unit(part, offset, key=b"%d" % offset) for offset in range(4)]
    for each in units:
        assert part.add(each)
    part.finish(units[1])
    part.finish(units[3])
    assert told(part) == (0, [range(1, 2), range(3, 4)])
    part.finish(units[0])
    assert part.safe == 2
    part.finish(units[2])
    assert part.safe == 4


def test_what_is_committed_is_not_committed_again(part: Partition) -> None:
    only = unit(part, 7)
    part.add(only)
    part.finish(only)
    assert part.changed
    assert told(part) == (8, [])
    progress = part.progress()
    assert progress is not None
    part.committed(progress)
    assert not part.changed


def test_of_one_key_one_event_starts_at_a_time(part: Partition) -> None:
    first, second, third = (unit(part, offset) for offset in range(3))
    assert part.add(first)
    assert not part.add(second)
    assert not part.add(third)
    assert part.finish(first) is second
    assert part.finish(second) is third
    assert part.finish(third) is None
    assert part.add(unit(part, 3))


def test_events_without_a_key_wait_for_nobody(part: Partition) -> None:
    assert all(part.add(unit(part, offset, key=None)) for offset in range(5))


def test_without_order_events_of_one_key_start_together() -> None:
    part = Partition("t", 0, ordered=False)
    units = [unit(part, offset) for offset in range(3)]
    assert all(part.add(each) for each in units)
    assert part.finish(units[0]) is None


def test_what_is_in_hand_is_counted_in_events_and_bytes(part: Partition) -> None:
    first, second = unit(part, 0, count=3, size=30), unit(part, 3, key=b"other", size=5)
    part.add(first)
    part.add(second)
    assert (part.count, part.bytes) == (4, 35)
    part.finish(second)
    assert (part.count, part.bytes, part.ahead) == (3, 30, 1)
    assert not second.messages  # It lies behind one that isn't done; its offset is all that is held of it.
    part.finish(first)
    assert (part.count, part.bytes, part.ahead) == (0, 0, 0)


def test_a_lost_partition_commits_nothing_any_more(part: Partition) -> None:
    first, second = unit(part, 0), unit(part, 1, key=b"other")
    part.add(first)
    part.add(second)
    part.finish(first)
    part.lose()
    part.finish(second)
    assert not part.changed
    assert not part.open
    assert (part.count, part.bytes) == (0, 0)


def test_a_closed_partition_still_counts_what_runs_to_its_end(part: Partition) -> None:
    only = unit(part, 3)
    part.add(only)
    part.close()
    assert not part.open
    part.finish(only)
    assert told(part) == (4, [])


def test_a_lane_that_ran_empty_leaves_nothing_behind(part: Partition) -> None:
    for offset in range(1000):
        each = unit(part, offset, key=b"%d" % offset)
        part.add(each)
        part.finish(each)
    assert not part._lanes
    assert not part._units


def test_single_messages_are_units_by_their_key_and_end_behind_their_offset(part: Partition) -> None:
    messages = [SampleMessage(4, b"a", b"12345"), SampleMessage(9, None, None)]
    first, second = units_of(part, messages, batch=None, ordered=True)
    assert (first.key, first.count, first.size, first.next_offset) == (b"a", 1, 5, 5)
    assert (second.key, second.count, second.size, second.next_offset) == (None, 1, 0, 10)


def test_batches_hold_up_to_their_number_and_end_behind_their_last_offset(part: Partition) -> None:
    # Offsets have gaps: of aborted transactions, or after compaction.
    messages = [SampleMessage(offset, b"%d" % offset, b"12") for offset in (1, 2, 5, 6, 11)]
    units = units_of(part, messages, batch=2, ordered=True)
    assert [(each.count, each.size, each.next_offset) for each in units] == [(2, 4, 3), (2, 4, 7), (1, 2, 12)]


@pytest.mark.parametrize(("ordered", "start"), [(True, 1), (False, 3)])
def test_where_order_counts_one_batch_of_a_partition_starts_at_a_time(ordered: bool, start: int) -> None:
    part = Partition("t", 0, ordered=ordered)
    units = units_of(part, [SampleMessage(offset) for offset in range(6)], batch=2, ordered=ordered)
    assert sum(part.add(each) for each in units) == start


def test_a_batch_that_is_split_is_done_one_by_one_and_the_next_batch_waits_for_all_of_it(part: Partition) -> None:
    messages = [SampleMessage(offset) for offset in range(5)]
    whole, next_batch = units_of(part, messages, batch=3, ordered=True)
    assert part.add(whole)
    assert not part.add(next_batch)
    (first,) = part.split(whole)
    assert first.messages == (messages[0],)
    second = part.finish(first)
    assert second is not None
    assert told(part) == (1, [])
    third = part.finish(second)
    assert third is not None
    assert part.finish(third) is next_batch
    assert told(part) == (3, [])
    assert part.count == 2


def test_without_order_the_events_of_a_split_batch_start_together() -> None:
    part = Partition("t", 0, ordered=False)
    (whole,) = units_of(part, [SampleMessage(offset) for offset in range(3)], batch=3, ordered=False)
    part.add(whole)
    singles = part.split(whole)
    assert [each.offset for each in singles] == [0, 1, 2]
    part.finish(singles[2])
    assert told(part) == (0, [range(2, 3)])


def test_what_an_earlier_owner_has_finished_is_not_done_again() -> None:
    part = Partition("t", 0, ordered=True, finished=[range(11, 13), range(14, 15), range(20, 30)])
    fetched = [SampleMessage(offset, b"%d" % offset) for offset in range(10, 17)]
    todo = [message for some in part.sort_out(fetched) for message in some]
    assert [message.offset() for message in todo] == [10, 13, 15, 16]


def test_what_an_earlier_owner_has_finished_is_committed_once_all_before_it_is_done() -> None:
    part = Partition("t", 0, ordered=True, finished=[range(11, 13), range(20, 30)])
    for some in part.sort_out([SampleMessage(offset, b"%d" % offset) for offset in range(10, 14)]):
        for each in units_of(part, some, batch=None, ordered=True):
            part.add(each)
    first, last = (each for each in part._units if not each.done)
    assert told(part) == (10, [range(11, 13), range(20, 30)])
    part.finish(first)
    assert told(part) == (13, [range(20, 30)])
    part.finish(last)
    assert told(part) == (14, [range(20, 30)])


def test_a_partition_of_which_all_that_is_left_was_finished_commits_its_end() -> None:
    part = Partition("t", 0, ordered=True, finished=[range(11, 13)])
    for some in part.sort_out([SampleMessage(10), SampleMessage(11), SampleMessage(12)]):
        (only,) = units_of(part, some, batch=None, ordered=True)
        part.add(only)
    part.finish(only)
    assert part.changed
    assert told(part) == (13, [])


def test_batches_are_made_of_what_is_left_to_do() -> None:
    part = Partition("t", 0, ordered=True, finished=[range(2, 4)])
    fetched = [SampleMessage(offset) for offset in range(6)]
    units = [each for some in part.sort_out(fetched) for each in units_of(part, some, batch=100, ordered=True)]
    assert [(each.offset, each.next_offset) for each in units] == [(0, 2), (4, 6)]


def test_neighbours_in_hand_are_one_run_though_their_offsets_have_gaps(part: Partition) -> None:
    # Between them lie the markers of transactions, or what compaction has removed.
    units = units_of(
        part, [SampleMessage(offset, b"%d" % offset) for offset in (3, 5, 9, 14)], batch=None, ordered=True
    )
    for each in units:
        part.add(each)
    part.finish(units[1])
    part.finish(units[2])
    assert told(part) == (3, [range(5, 10)])


def test_the_log_tells_a_unit_by_its_first_message_and_how_many_there_are(part: Partition) -> None:
    messages = [SampleMessage(7, with_headers=[("ce_id", b"018f")]), SampleMessage(8)]
    (whole,) = units_of(part, messages, batch=10, ordered=True)
    facts = facts_of(whole)
    assert (facts["topic"], facts["partition"], facts["offset"], facts["id"]) == ("step.asked", 0, 7, "018f")
    assert facts["count"] == 2
    part.add(whole)
    facts = facts_of(part.split(whole)[0])
    assert facts["offset"] == 7
    assert "count" not in facts


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_finishing_the_offset_and_the_lanes_hold(seed: int) -> None:
    luck = random.Random(seed)
    part = Partition("t", 0, ordered=True)
    running: list[Unit] = []
    finished: set[int] = set()
    last: dict[bytes, int] = {}
    for offset in range(300):
        each = unit(part, offset, key=b"%d" % luck.randrange(8))
        if part.add(each):
            running.append(each)
        while running and luck.random() < 0.6:
            done = running.pop(luck.randrange(len(running)))
            assert done.key is not None
            assert last.get(done.key, -1) < done.next_offset
            last[done.key] = done.next_offset
            finished.add(done.next_offset - 1)
            if (following := part.finish(done)) is not None:
                running.append(following)
            assert len({each.key for each in running}) == len(running)
            assert part.safe is None or set(range(part.safe)) <= finished
    while running:
        if (following := part.finish(running.pop(0))) is not None:
            running.append(following)
    assert part.safe == 300


def told_held(part: Partition) -> list[Held]:
    progress = part.progress()
    assert progress is not None
    return from_metadata(progress.offset, progress.metadata).held


LATER = Held(0, 2, 1_793_000_000_000, 60)


def test_an_event_that_waits_for_its_next_try_is_told_of_until_it_is_done(part: Partition) -> None:
    first, other = unit(part, 0), unit(part, 1, key=b"other")
    part.add(first)
    part.add(other)
    assert part.uncommitted == 0
    part.hold(LATER)
    # Nothing is done, and yet there is something to commit.
    assert part.uncommitted == 1
    assert told_held(part) == [LATER]
    progress = part.progress()
    assert progress is not None
    part.committed(progress)
    assert part.uncommitted == 0
    part.finish(other)
    assert told_held(part) == [LATER]
    part.hold(again := LATER._replace(attempts=3))
    assert told_held(part) == [again]
    part.finish(first)
    assert told(part) == (2, [])
    assert told_held(part) == []


def test_what_an_earlier_owner_has_put_off_is_told_of_before_it_is_read_again() -> None:
    far = Held(90, 1, 1_793_000_000_000, 60)
    part = Partition("t", 0, ordered=True, held=[LATER, far])
    first = unit(part, 0)
    part.add(first)
    assert told_held(part) == [LATER, far]
    part.finish(first)
    assert told_held(part) == [far]
    # It was deleted from the log meanwhile.
    part.pass_over(range(1, 100))
    assert told_held(part) == []


def test_a_lost_partition_holds_nothing_any_more(part: Partition) -> None:
    part.add(unit(part, 0))
    part.lose()
    part.hold(LATER)
    assert not part.held
    assert not part.changed


def test_a_million_finished_events_behind_one_that_waits_take_no_room(part: Partition) -> None:
    slow = unit(part, 0, key=b"slow")
    part.add(slow)
    count = 100_000
    for offset in range(1, count):
        each = unit(part, offset, key=b"%d" % offset)
        part.add(each)
        part.finish(each)
    assert part.ahead <= 2 * MERGE_UNITS
    assert len(part._units) <= 2 * MERGE_UNITS + 1
    assert told(part) == (0, [range(1, count)])
    part.finish(slow)
    assert told(part) == (count, [])
    assert (part.ahead, part.count) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_held_as_one_are_told_as_they_were(seed: int) -> None:
    luck = random.Random(seed)
    part = Partition("t", 0, ordered=False)
    units = [unit(part, offset * 2, key=None) for offset in range(3000)]  # A log with gaps.
    for each in units:
        part.add(each)
    left = luck.sample(units[1:], 1500)
    for each in left:
        part.finish(each)
        if luck.random() < 0.01:
            done = [u.offset for u in units if u.done]
            offset, ranges = told(part)
            assert offset == 0
            assert [place for place in done if not any(place in some for some in ranges)] == []
            assert [u.offset for u in units if not u.done and any(u.offset in some for some in ranges)] == []
