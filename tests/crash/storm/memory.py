"""Whether the workers' memory grows: a line through the samples of a storm's second half. Computes only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression, mean

from tests.crash.storm.sampling import Sample

SETTLED_SECONDS = 60.0
"""A worker process younger than this still imports, connects and fills its caches."""
LEAST_SECONDS = 500.0
"""A shorter storm says nothing about growth: its second half is all warming up."""


def slope_mb_per_minute(samples: Sequence[Sample]) -> float | None:
    """How much a worker process grows.

    Each process's samples are taken against their own mean, so that a young one beside an old one is no growth.

    Returns:
        Megabytes of PSS per minute; None where the storm was too short to say.
    """
    if not samples or samples[-1].time_seconds - samples[0].time_seconds < LEAST_SECONDS:
        return None
    middle = (samples[0].time_seconds + samples[-1].time_seconds) / 2
    by_process: dict[int, list[tuple[float, float]]] = {}
    for sample in samples:
        for memory in sample.memory.values():
            if sample.time_seconds >= middle and memory.age_seconds >= SETTLED_SECONDS:
                by_process.setdefault(memory.worker, []).append((sample.time_seconds / 60, memory.pss_mb))
    times: list[float] = []
    sizes: list[float] = []
    for points in by_process.values():
        mean_time, mean_size = mean(time for time, _ in points), mean(size for _, size in points)
        times += [time - mean_time for time, _ in points]
        sizes += [size - mean_size for _, size in points]
    if len(set(times)) < 2:
        return None
    return linear_regression(times, sizes).slope
