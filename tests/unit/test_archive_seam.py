"""The seam between archive and topic: each offset that either has is read from exactly one of them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tidemill.replay.lake import State
from tidemill.replay.query import Query, make_query
from tidemill.replay.ranges import Gap, Plan, Range
from tidemill.replay.seam import joined


def query_of(start: dict[int, int] | None = None, end: dict[int, int] | None = None) -> Query:
    return make_query("step.asked", start=start, end=end, on_error="raise")


def topic_plan(query: Query, low: int, high: int) -> Plan:
    """As `make_plan` makes it of one partition."""
    asked = None if query.start.offsets is None else query.start.offsets[0]
    start = max(low, asked or 0)
    end = high if query.end.offsets is None else min(high, query.end.offsets[0])
    gaps = (Gap(0, asked, low),) if asked is not None and asked < low else ()
    ranges = (Range(0, start, end),) if start < end else ()
    return Plan("step.asked", "id", 1, ranges, gaps, {0: start})


def archive(began: int, done: int, *gaps: Gap) -> State:
    return State(1, "id", {0: began}, {0: done}, {}, {}, [*gaps], 1)


def join(
    state: State, low: int, high: int, *, query: Query | None = None, everything: bool = False
) -> tuple[list[int], list[int], list[int]]:
    """Offsets from the archive, from the topic, and in gaps."""
    query = query or query_of()
    plan = joined(query, topic_plan(query, low, high), state, {0: low}, everything=everything)
    archived, ranges, gaps = (
        [offset for each in stretches for offset in range(each.start, each.end)]
        for stretches in (plan.archived, plan.ranges, plan.gaps)
    )
    assert plan.offsets == len(archived) + len(ranges)
    if archived or ranges:
        assert plan.next_offsets[0] == (archived or ranges)[0]
    if ranges:
        assert plan.topic_starts[0] == ranges[0]
    return archived, ranges, gaps


def test_automatically_the_archive_gives_what_the_topic_has_no_more() -> None:
    assert join(archive(0, 80), 50, 100) == ([*range(50)], [*range(50, 100)], [])


def test_if_asked_for_the_archive_gives_all_that_it_has() -> None:
    assert join(archive(0, 80), 50, 100, everything=True) == ([*range(80)], [*range(80, 100)], [])


def test_what_neither_has_is_a_gap() -> None:
    assert join(archive(0, 40), 50, 60) == ([*range(40)], [*range(50, 60)], [*range(40, 50)])


def test_a_gap_that_the_archive_knows_of_is_told() -> None:
    archived, _, gaps = join(archive(0, 80, Gap(0, 10, 20)), 50, 100)
    assert archived == [*range(50)], "the archive passes over its own gaps by itself"
    assert gaps == [*range(10, 20)]


@pytest.mark.parametrize("everything", [False, True])
def test_offsets_that_are_asked_for_are_the_ones_that_are_read(everything: bool) -> None:
    query = query_of({0: 30}, {0: 70})
    archived, ranges, gaps = join(archive(10, 90), 50, 100, query=query, everything=everything)
    assert [*archived, *ranges] == [*range(30, 70)]
    assert gaps == []


def test_what_was_before_the_archive_began_stays_a_gap() -> None:
    assert join(archive(10, 90), 50, 60, query=query_of({0: 0})) == ([*range(10, 50)], [*range(50, 60)], [*range(10)])


@pytest.mark.parametrize("seed", range(100))
def test_whatever_is_where_each_offset_is_read_once_or_told(seed: int) -> None:
    luck = Random(seed)
    began, low = luck.randrange(30), luck.randrange(60)
    done = luck.randrange(began, 80)
    high = max(luck.randrange(low, 100), done)
    start = luck.choice([None, luck.randrange(high + 1)])
    end = luck.choice([None, luck.randrange((start or 0), 110)])
    query = query_of(None if start is None else {0: start}, None if end is None else {0: end})
    archived, ranges, gaps = join(archive(began, done), low, high, query=query, everything=luck.random() < 0.5)
    until = high if end is None else min(end, high)
    first = min(began, low) if start is None else start
    wanted = [*range(first, until)]
    there = [offset for offset in wanted if began <= offset < done or low <= offset]
    assert [*archived, *ranges] == there
    assert [offset for offset in gaps if offset < until] == [offset for offset in wanted if offset not in there]


def test_a_partition_that_is_not_archived_is_read_from_the_topic() -> None:
    plan = Plan("step.asked", "id", 2, (Range(1, 3, 9),), (), {0: 50, 1: 3})
    found = joined(query_of(), plan, archive(0, 50), {0: 50, 1: 3}, everything=True)
    assert found == replace(plan, archived=(Range(0, 0, 50),), next_offsets={0: 0, 1: 3})
