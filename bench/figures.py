"""What a measurement returns, and the facts of the machine it was taken on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One number.

    Args:
        name: What was measured.
        value: The median.
        unit: Its unit.
        low: Smallest of the rounds.
        high: Largest of the rounds.
        target: What it should reach, in words; empty if nothing was promised.
        met: Whether it does.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    target: str = ""
    met: bool | None = None


def median_of(
    name: str, values: Sequence[float], unit: str, *, least: float | None = None, most: float | None = None
) -> Figure:
    """The figure of several rounds, held against its target.

    Args:
        name: What was measured.
        values: One per round.
        unit: Their unit.
        least: The median should be at least this.
        most: The median should be at most this.
    """
    middle = statistics.median(values)
    target, met = "", None
    if least is not None:
        target, met = f"at least {least:g}", middle >= least
    if most is not None:
        target, met = f"at most {most:g}", middle <= most
    return Figure(name, middle, unit, min(values), max(values), target, met)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast ours was, round by round, since rounds side by side meet the same machine."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def machine_facts() -> dict[str, str | int]:
    """What a reader has to know to compare figures."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    packages = ("confluent-kafka", "fastavro", "faust-streaming", "pillow")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": cpu,
        "processors": len(os.sched_getaffinity(0)),
        **{package: version(package) for package in packages},
    }
