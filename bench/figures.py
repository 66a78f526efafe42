"""What a measurement returns: a number with its rounds and, where one was promised, its target. Computes only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number.

    Args:
        name: What was measured.
        value: The median of the rounds; None where it could not be reached, as `note` says.
        unit: Its unit.
        contender: Whose it is, by key.
        rounds: All rounds.
        at: On a curve of growth: what it was measured at.
        target: What it should reach, in words; empty if nothing was promised.
        met: Whether it does.
        note: What has to be said about it.
    """

    name: str
    value: float | None
    unit: str
    contender: str = ""
    rounds: tuple[float, ...] = ()
    at: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


def median_of(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    contender: str = "",
    at: float | None = None,
    least: float | None = None,
    most: float | None = None,
    note: str = "",
) -> Figure:
    """The figure of several rounds, held against its target.

    Args:
        name: What was measured.
        values: One per round.
        unit: Their unit.
        contender: Whose it is.
        at: What it was measured at.
        least: The median should be at least this.
        most: The median should be at most this.
        note: What has to be said about it.
    """
    middle = statistics.median(values)
    target, met = "", None
    if least is not None:
        target, met = f"at least {least:g}", middle >= least
    if most is not None:
        target, met = f"at most {most:g}", middle <= most
    return Figure(name, middle, unit, contender, tuple(values), at, target, met, note)


def not_reached(name: str, unit: str, *, contender: str, note: str) -> Figure:
    """A figure for what couldn't be measured, and why."""
    return Figure(name, None, unit, contender, note=note)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast ours was, round by round, since rounds side by side meet the same machine."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]
