"""Whether the workers' memory grows: a line through the samples of each worker process that lived long enough.

Beside it the middle of all processes, span by span: where acts leave no process alive for long, it alone can be told.
Computes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression, median

from tests.crash.storm.sampling import Sample

SETTLED_SECONDS = 60.0
"""A worker process younger than this still imports, connects and fills its caches."""
LEAST_LIFE_SECONDS = 120.0
"""A process that was looked at for less, once settled, says nothing: what it shares with others comes and goes."""
LEAST_SECONDS = 500.0
"""A shorter storm says nothing about growth: its second half is all warming up."""

SPAN_SECONDS = 300.0


def medians_mb(samples: Sequence[Sample]) -> list[float | None]:
    """How much a settled worker process takes, span after span of `SPAN_SECONDS` from the first sample on.

    Returns:
        The median of each span, in megabytes of PSS; None for one in which no process was old enough. A rest at the end
        that is shorter than half a span counts to the one before.
    """
    if not samples:
        return []
    start, end = samples[0].time_seconds, samples[-1].time_seconds
    spans: list[list[float]] = [[] for _ in range(max(1, round((end - start) / SPAN_SECONDS)))]
    for sample in samples:
        place = min(int((sample.time_seconds - start) / SPAN_SECONDS), len(spans) - 1)
        spans[place] += [each.pss_mb for each in sample.memory.values() if each.age_seconds >= SETTLED_SECONDS]
    return [median(found) if found else None for found in spans]


def slope_mb_per_minute(samples: Sequence[Sample]) -> float | None:
    """How much a worker process grows: the median of all that lived long enough.

    Returns:
        Megabytes of PSS per minute; None where the storm, or each process in it, was too short to say.
    """
    if not samples or samples[-1].time_seconds - samples[0].time_seconds < LEAST_SECONDS:
        return None
    middle = (samples[0].time_seconds + samples[-1].time_seconds) / 2
    by_process: dict[int, list[tuple[float, float]]] = {}
    for sample in samples:
        for memory in sample.memory.values():
            if sample.time_seconds >= middle and memory.age_seconds >= SETTLED_SECONDS:
                by_process.setdefault(memory.worker, []).append((sample.time_seconds / 60, memory.pss_mb))
    slopes = [
        linear_regression(*zip(*points, strict=True)).slope
        for points in by_process.values()
        if (points[-1][0] - points[0][0]) * 60 >= LEAST_LIFE_SECONDS
    ]
    return median(slopes) if slopes else None
