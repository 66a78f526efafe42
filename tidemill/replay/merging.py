"""Puts the events of all partitions into the order of their time, each partition's own order kept.

Reads through one scan for each partition, a few thousand events ahead, so that memory stays bounded by partitions.
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

    from tidemill.replay.ranges import Plan
    from tidemill.replay.scanned import Scanned


def in_time_order(scan: Scanned, plan: Plan) -> Generator[Message, None, None]:
    """The messages of a plan by timestamp; within a partition always by offset.

    Args:
        scan: What to read.
        plan: Its ranges.
    """
    with ExitStack() as stack:
        runs = [scan.run(plan=replace(plan, ranges=(each,)), keep_messages=True) for each in plan.ranges]
        streams = [stack.enter_context(closing(_messages(run))) for run in runs]
        yield from _merged(streams)


def _messages(run: Run) -> Generator[Message, None, None]:
    with closing(run.pieces()) as pieces:
        for piece in pieces:
            yield from piece.taken.messages


def _merged(streams: list[Generator[Message, None, None]]) -> Iterator[Message]:
    # By the first message of each that wasn't given yet; a timestamp that goes back keeps its place in its partition.
    heads = [(head.timestamp()[1], place, head) for place, each in enumerate(streams) if (head := next(each, None))]
    heapq.heapify(heads)
    while heads:
        _, place, message = heads[0]
        yield message
        following = next(streams[place], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.timestamp()[1], place, following))
