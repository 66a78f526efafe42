"""Whether the workers' memory grows: a line through the samples of each worker process that lived long enough.

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
