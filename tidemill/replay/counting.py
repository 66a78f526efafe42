"""Counts events by time, key or partition, in one pass over a few columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tidemill.errors import ConfigError
from tidemill.replay.extras import need

if TYPE_CHECKING:
    from tidemill.replay.export import Progress
    from tidemill.replay.scanned import Scanned

By: TypeAlias = Literal["minute", "hour", "day", "key", "partition"]
UNIT_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def count(scan: Scanned, by: By | None = None, progress: Progress | None = None) -> dict[Any, int]:
    """Count the events of a scan; see `Scan.count`.

    Args:
        scan: Which ones.
        by: What to count by.
        progress: Told after each some thousand events.

    Raises:
        ConfigError: `by` is none of these.
    """
    if by is not None and by not in get_args(By):
        raise ConfigError(f"Events can't be counted by {by!r}.", hint=f"By one of {', '.join(get_args(By))}.")
    column = {"key": "_key", "partition": "_partition"}.get(by or "", "_timestamp")
    narrow = scan.of(replace(scan.query, columns=(column,)))
    run = narrow.run()
    total = max(1, run.plan.offsets)
    positions = dict(run.plan.next_offsets)
    found: Counter[Any] = Counter()
    for piece in run.pieces():
        if piece.batch.num_rows:
            found.update(_counted(piece.batch.column(0), by))
        positions |= piece.next_offsets
        if progress is not None:
            done = sum(positions.values()) - sum(run.plan.next_offsets.values())
            progress(run.tally, min(done, total), total)
    if by == "key":
        return dict(found.most_common())
    if by in UNIT_MS:
        unit = UNIT_MS[by]
        return {datetime.fromtimestamp(at * unit / 1000, UTC): found[at] for at in sorted(found)}
    return dict(sorted(found.items())) if by == "partition" else {None: found[None]}


def _counted(column: Any, by: By | None) -> dict[Any, int]:
    if by is None:
        return {None: len(column)}
    if by in UNIT_MS:
        compute, pa = need("pyarrow.compute", "counting"), need("pyarrow", "counting")
        column = compute.divide(column.cast(pa.int64()), UNIT_MS[by])
    return {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}
