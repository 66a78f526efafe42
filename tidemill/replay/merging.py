"""Puts the events of all partitions into the order of their time, each partition's own order kept.

Reads through one scan for each partition, some hundred events ahead; together they have the memory of one.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from tidemill.replay.running import Run

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.replay.ranges import Plan, Range
    from tidemill.replay.scanned import Scanned


def in_time_order(scan: Scanned, plan: Plan) -> Generator[Message, None, None]:
    """The messages of a plan by timestamp; within a partition always by offset.

    Args:
        scan: What to read.
        plan: Its ranges.
    """
    with ExitStack() as stack:
        # A partition may lie in the archive, in the topic, or in both.
        plans = _by_partition(plan)
        runs = [scan.run(plan=each, keep_messages=True, share=len(plans)) for each in plans]
        streams = [stack.enter_context(closing(_messages(run))) for run in runs]
        yield from _merged(streams)


def _by_partition(plan: Plan) -> list[Plan]:
    """The plan of each partition that has something to read."""

    def of(partition: int, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        return tuple(each for each in ranges if each.partition == partition)

    numbers = sorted({each.partition for each in (*plan.archived, *plan.ranges)})
    return [replace(plan, ranges=of(each, plan.ranges), archived=of(each, plan.archived)) for each in numbers]


def _messages(run: Run) -> Generator[Message, None, None]:
    with closing(run.pieces()) as pieces:
        for piece in pieces:
            yield from piece.taken.messages


def _merged(streams: list[Generator[Message, None, None]]) -> Iterator[Message]:
    # By the first message of each that wasn't given yet; a timestamp that goes back keeps its place in its partition.
    firsts = [next(each, None) for each in streams]
    # A message without a value is false.
    heads = [(first.timestamp()[1], place, first) for place, first in enumerate(firsts) if first is not None]
    heapq.heapify(heads)
    while heads:
        _, place, message = heads[0]
        yield message
        following = next(streams[place], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.timestamp()[1], place, following))
