"""Which partitions, and from which time on, rows can fulfil an expression: what lies outside needn't be read.

Leaves the logic to Arrow, which simplifies an expression by what is known of a fragment. Errs to one side only: what it
excludes holds no such row. No end in time is derived, since events may lie later than their timestamps say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tidemill.replay.extras import need

STEPS = 64
"""Into how many equal parts a span of time is divided, twice."""


def possible_partitions(expression: Any, partitions: Sequence[int], schema: Any) -> frozenset[int]:
    """The partitions in which a row can fulfil an expression.

    Args:
        expression: A `pyarrow.compute.Expression`.
        partitions: All of them.
        schema: The `pyarrow.Schema` that it is about.
    """
    field = need("pyarrow.dataset", "queries").field("_partition")
    return frozenset(_possible(expression, partitions, lambda number: field == number, schema))


def earliest_possible(expression: Any, first_ms: int, last_ms: int, schema: Any) -> int | None:
    """A time before which no row can fulfil an expression, or None; milliseconds since 1970.

    Args:
        expression: A `pyarrow.compute.Expression`.
        first_ms: Where to begin to look; there may be earlier events.
        last_ms: Where to stop looking.
        schema: The `pyarrow.Schema` that it is about.
    """
    pa = need("pyarrow", "queries")
    field = need("pyarrow.dataset", "queries").field("_timestamp")

    def before(moment_ms: int) -> Any:
        return field < pa.scalar(moment_ms, pa.timestamp("ms", "UTC"))

    if _possible(expression, [first_ms], before, schema):
        return None
    for _ in range(2):
        step = (last_ms - first_ms) // STEPS + 1
        starts = [first_ms + number * step for number in range(STEPS)]

        def within(start: int, step: int = step) -> Any:
            bounds = [pa.scalar(each, pa.timestamp("ms", "UTC")) for each in (start, start + step)]
            return (field >= bounds[0]) & (field < bounds[1])

        possible = _possible(expression, starts, within, schema)
        if not possible:
            # Perhaps what is appended meanwhile.
            return last_ms
        first_ms, last_ms = min(possible), min(possible) + step
    return first_ms


def _possible(expression: Any, choices: Sequence[int], known: Callable[[int], Any], schema: Any) -> list[int]:
    dataset, fs = need("pyarrow.dataset", "queries"), need("pyarrow.fs", "queries")
    # Files that don't exist, and are never opened: only what is known of them matters.
    fragments = dataset.FileSystemDataset.from_paths(
        [*map(str, choices)],
        schema=schema,
        format=dataset.IpcFileFormat(),
        filesystem=fs.LocalFileSystem(),
        partitions=[known(each) for each in choices],
    )
    return [int(each.path) for each in fragments.get_fragments(filter=expression)]
