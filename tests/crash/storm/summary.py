"""What a storm's command prints in the end: each promise, and the figures beside them. Computes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.crash.storm.promises import Promise

MARKS = {True: "held", False: "BROKEN", None: "too short to say"}


def summary(report: Mapping[str, Any], judged: Sequence[Promise]) -> str:
    """Some lines for people.

    Args:
        report: As it goes to report.json.
        judged: Its promises.
    """
    found = report["findings"]
    width = max(len(promise.name) for promise in judged)
    lines = [
        f"  {promise.name:<{width}}  {_number(promise.found):>7}  at most {promise.limit:<4g}  {MARKS[promise.held]}"
        for promise in judged
    ]
    lines += [
        f"{found['events']:,} events ({found['unknown']} of unknown outcome, {found['failed']} failed), "
        f"{found['acts']} acts, {found['workers_killed']} workers killed.",
        f"Events run again: {found['reruns']}; finished ones among them per kill {_spread(found['reruns_per_kill'])}, "
        f"with {_spread(found['in_work_per_kill'])} in work; per SIGTERM {_spread(found['reruns_per_term'])}, "
        f"per pause {_spread(found['reruns_per_pause'])}.",
        f"Killed workers' events went on after {_spread(found['go_on_seconds'])} s. "
        f"{len(found['stalls'])} stalls of more than a second, the longest {found['longest_stall_seconds']:g} s.",
        f"Memory of a worker, median of each five minutes: {_each(found['memory_mb_each_five_minutes'])} MB.",
    ]
    return "\n".join(lines) + "\n"


def _number(found: float | None) -> str:
    return "-" if found is None else f"{found:g}"


def _each(values: Sequence[float | None]) -> str:
    return ", ".join("-" if value is None else f"{value:.0f}" for value in values) or "-"


def _spread(values: Sequence[float | None]) -> str:
    """Middle and greatest of some figures."""
    if not values:
        return "none"
    if None in values:
        return "never"
    numbers = [value for value in values if value is not None]
    return f"{median(numbers):g} (most {max(numbers):g})"
