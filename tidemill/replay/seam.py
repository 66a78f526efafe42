"""Where the archive ends and the topic begins, for a scan that reads both as one. Each offset comes from one of them.

The seam is an offset by partition: what lies before it is read from the archive, the rest from the topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill.errors import ArchiveError
from tidemill.replay.archived import Archived
from tidemill.replay.lake import Lake, State
from tidemill.replay.ranges import Cluster, Gap, Plan, Range

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.replay.layout import Layout
    from tidemill.replay.query import Query

OF_VALUES = ("_schema_id", "_value")
"""Envelope columns that are made of an event's value."""
FromArchive: TypeAlias = bool | Literal["auto"]
"""Not at all, all that is archived, or only what the topic doesn't have any more."""


def join_archive(settings: Settings, query: Query, plan: Plan, wanted: FromArchive) -> Plan:
    """A plan of both.

    Args:
        settings: Where the archive is.
        query: What is asked for.
        plan: What is to be read of the topic, were it alone.
        wanted: `auto`, or True for all that is archived.

    Raises:
        ArchiveError: Nothing is archived of this topic, and it must be (True); or the log is damaged.
        StoreError: The archive can't be read.
    """
    lake = Lake.from_settings(settings)
    state = lake.state(plan.topic)
    if state.topic_id != plan.topic_id:
        if wanted == "auto":
            return plan
        raise ArchiveError(
            f"Nothing is archived of topic {plan.topic!r} in {lake.url}."
            if not state.sequence
            else f"What is archived of topic {plan.topic!r} is of one that was deleted since.",
            hint="`tidemill archive status` shows what is.",
        )
    low = Cluster(settings, query.topic).offsets(plan.next_offsets, OffsetSpec.earliest)
    return joined(query, plan, state, low, everything=wanted is True)


def archived_part(
    settings: Settings, query: Query, plan: Plan, layout: Layout, *, decodes: bool, messages: bool
) -> Archived | None:
    """What reads a plan's part in the archive; None where it has none.

    Args:
        settings: Where the archive is.
        query: What is asked for.
        plan: Of both.
        layout: The columns: only what they need is read of the files.
        decodes: Whether payloads are decoded.
        messages: Whether the messages are wanted.
    """
    if not plan.archived:
        return None
    values = decodes or any(name in OF_VALUES for name in layout.envelope)
    lake = Lake.from_settings(settings)
    messages = messages or layout.needs_headers
    return Archived(lake, plan.topic, query, plan.archived, values=values, messages=messages)


def joined(query: Query, plan: Plan, state: State, low: dict[int, int], *, everything: bool) -> Plan:
    """A plan of both; computes only.

    Args:
        query: What is asked for.
        plan: What is to be read of the topic, were it alone.
        state: What is archived.
        low: By partition, the topic's first offset.
        everything: Whether the archive is read as far as it goes.
    """
    ranges, starts = {each.partition: each for each in plan.ranges}, dict(plan.next_offsets)
    archived: list[Range] = []
    gaps: list[Gap] = []
    for partition, topic_start in plan.next_offsets.items():
        done = state.next_offsets.get(partition)
        # Where the topic reaches further back than the archive, it has all that the archive has.
        if done is None or topic_start < state.began[partition]:
            continue
        asked = (query.start.offsets or {}).get(partition)
        start = state.began[partition] if asked is None else max(asked, state.began[partition])
        until = done if everything else min(done, topic_start)
        if query.end.offsets is not None:
            until = min(until, query.end.offsets[partition])
        if start < until:
            archived.append(Range(partition, start, until))
            starts[partition] = start
            if (own := ranges.get(partition)) is not None and own.start < until:
                ranges[partition] = replace(own, start=min(until, own.end))
        # What neither has: retention was faster than the archiver.
        end = min(low[partition], topic_start)
        if query.end.offsets is not None:
            end = min(end, query.end.offsets[partition])
        gaps += _left([Gap(partition, max(done, asked or 0), end)], ())
        gaps += _within(state.gaps, partition, start, until)
    gaps += _left(plan.gaps, [*archived, *(Range(g.partition, g.start, g.end) for g in gaps)])
    kept = tuple(each for each in ranges.values() if each.start < each.end)
    gaps.sort(key=lambda each: (each.partition, each.start))
    return replace(plan, ranges=kept, archived=tuple(archived), gaps=tuple(gaps), next_offsets=starts)


def _within(gaps: Iterable[Gap], partition: int, start: int, end: int) -> Iterator[Gap]:
    for gap in gaps:
        first, last = max(gap.start, start), min(gap.end, end)
        if gap.partition == partition and first < last:
            yield Gap(partition, first, last)


def _left(gaps: Iterable[Gap], known: Iterable[Range]) -> Iterator[Gap]:
    """What is left of gaps without the offsets that are known of."""
    for gap in gaps:
        position = gap.start
        for each in sorted((each for each in known if each.partition == gap.partition), key=lambda each: each.start):
            if position < min(each.start, gap.end):
                yield Gap(gap.partition, position, min(each.start, gap.end))
            position = max(position, each.end)
        if position < gap.end:
            yield Gap(gap.partition, position, gap.end)
