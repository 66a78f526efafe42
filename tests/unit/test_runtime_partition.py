"""Lanes and offsets of one partition: what may start, and what may be committed."""

from __future__ import annotations

import random

import pytest

from tidemill.runtime.partition import Partition, Unit


def unit(part: Partition, offset: int, key: bytes | None = b"k", count: int = 1, size: int = 10) -> Unit:
    return Unit(part, [None] * count, key, offset + count, size)  # type: ignore[list-item]


@pytest.fixture
def part() -> Partition:
    return Partition("t", 0, ordered=True)


def test_nothing_is_committed_past_an_event_that_is_not_done(part: Partition) -> None:
    units = [unit(part, offset, key=b"%d" % offset) for offset in range(4)]
    for each in units:
        assert part.add(each)
    part.finish(units[1])
    part.finish(units[3])
    assert part.uncommitted is None
    part.finish(units[0])
    assert part.safe == 2
    part.finish(units[2])
    assert part.safe == 4


def test_what_is_committed_is_not_committed_again(part: Partition) -> None:
    only = unit(part, 7)
    part.add(only)
    part.finish(only)
    assert part.uncommitted == 8
    part.committed = 8
    assert not part.uncommitted


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
    assert (part.count, part.bytes) == (4, 35)  # It lies behind one that isn't done, and is still held.
    part.finish(first)
    assert (part.count, part.bytes) == (0, 0)


def test_a_lost_partition_commits_nothing_any_more(part: Partition) -> None:
    first, second = unit(part, 0), unit(part, 1, key=b"other")
    part.add(first)
    part.add(second)
    part.finish(first)
    part.lose()
    part.finish(second)
    assert part.uncommitted is None
    assert not part.open
    assert (part.count, part.bytes) == (0, 0)


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
