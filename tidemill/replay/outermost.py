"""The first or the last rows of a scan, without reading what lies between.

Reads the same number of offsets of each partition at the outer end, and more only where these gave too few rows.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError
from tidemill.replay.extras import need
from tidemill.replay.ranges import Plan, Range
from tidemill.replay.tally import Tally

if TYPE_CHECKING:
    from tidemill.replay.scanned import Scanned

FEWEST_OFFSETS = 512
"""Less than this isn't worth a request of its own."""
GROWTH = 8
MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Outermost:
    """Some rows of a scan."""

    rows: Any
    """A `pyarrow.Table`, by timestamp; of a partition by offset where timestamps are equal."""
    places: list[tuple[int, int, int]]
    """Timestamp in milliseconds since 1970, partition and offset of each row."""
    tally: Tally
    plan: Plan
    """What the scan would have read."""


def outermost(scan: Scanned, count: int, *, last: bool = False) -> Outermost:
    """The first or last rows of a scan: of each partition by offset, and of these together by timestamp.

    With keys, a condition or a range in time, partitions are read in step until together they have so many rows: where
    these lie far apart, others than the very first may come.

    Args:
        scan: What to read.
        count: How many rows, at most a million; they are held in memory.
        last: The last ones, instead of the first.

    Raises:
        ConfigError: The count makes no sense.
        TidemillError: As `Scan.run`.
    """
    if not 0 <= count <= MOST_ROWS:
        raise ConfigError(
            f"{count:,} rows can't be given at once.", hint=f"Ask for at most {MOST_ROWS:,}, or export to a file."
        )
    plan = scan.plan()
    query, pa = scan.query, need("pyarrow", "reading topics as tables")
    is_filtered = query.keys is not None or query.where is not None or query.is_timed
    tally = Tally()
    batches: list[Any] = []
    places: list[tuple[int, int, int]] = []
    found: Counter[int] = Counter()
    seams = {each.partition: each.end for each in plan.archived}
    left = _spans(plan) if count else {}
    offsets = max(2 * count, FEWEST_OFFSETS)
    while left:
        parts = {number: _outer(each, offsets, last=last) for number, each in left.items()}
        run = scan.run(keep_messages=True, plan=_part_of(plan, parts, seams))
        with closing(run.pieces()) as pieces:
            for piece in pieces:
                if piece.batch.num_rows:
                    taken = piece.taken
                    batches.append(piece.batch)
                    places += zip(taken.timestamps, taken.partitions, taken.offsets, strict=True)
                    found.update(taken.partitions)
        tally.add(run.tally)
        tally.gaps += run.tally.gaps
        left = {
            number: rest
            for number, each in left.items()
            if (rest := _rest(each, parts[number], last=last)) is not None and found[number] < count
        }
        if is_filtered and len(places) >= count:
            break
        offsets *= GROWTH
    tally.gaps += plan.gaps
    order = sorted(_outermost_of_each(places, count, last=last), key=places.__getitem__)
    order = order[max(0, len(order) - count) :] if last else order[:count]
    table = pa.Table.from_batches(batches, scan.schema).take(pa.array(order, pa.int64()))
    return Outermost(table, [places[each] for each in order], tally, plan)


def _spans(plan: Plan) -> dict[int, Range]:
    """What a plan reads of each partition, the archive's part and the topic's as one."""
    spans = {each.partition: each for each in plan.archived}
    for each in plan.ranges:
        before = spans.get(each.partition)
        spans[each.partition] = each if before is None else replace(before, end=each.end)
    return spans


def _part_of(plan: Plan, parts: dict[int, Range], seams: dict[int, int]) -> Plan:
    """A plan that reads these parts, each from where it is: before its partition's seam from the archive."""
    archived = [replace(each, end=min(each.end, seams.get(number, 0))) for number, each in parts.items()]
    ranges = [replace(each, start=max(each.start, seams.get(number, 0))) for number, each in parts.items()]
    return replace(
        plan,
        archived=tuple(each for each in archived if each.start < each.end),
        ranges=tuple(each for each in ranges if each.start < each.end),
        gaps=(),
    )


def _outer(whole: Range, offsets: int, *, last: bool) -> Range:
    if last:
        return replace(whole, start=max(whole.start, whole.end - offsets))
    return replace(whole, end=min(whole.end, whole.start + offsets))


def _outermost_of_each(places: list[tuple[int, int, int]], count: int, *, last: bool) -> list[int]:
    """Rows that are among so many of their partition by offset."""
    by_partition: dict[int, list[int]] = {}
    for row in sorted(range(len(places)), key=lambda row: places[row][2], reverse=last):
        rows = by_partition.setdefault(places[row][1], [])
        if len(rows) < count:
            rows.append(row)
    return [row for rows in by_partition.values() for row in rows]


def _rest(whole: Range, part: Range, *, last: bool) -> Range | None:
    """What of a range is left to read; None for nothing."""
    rest = replace(whole, end=part.start) if last else replace(whole, start=part.end)
    return rest if rest.start < rest.end else None
