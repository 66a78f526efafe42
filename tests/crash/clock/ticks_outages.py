"""How long ticks stood still, who went on after whom, and how late they were. Computes only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tests.crash.clock.ticks_seen import SeenTick

How = Literal["kill", "pause", "term", "kill-broker"]


@dataclass(frozen=True)
class Strike:
    """What was done.

    Args:
        how: Which way; of `kill-broker` the victim is a broker.
        victim: Name of the instance, as its ticks say it.
        start_seconds: When, seconds since 1970.
        end_seconds: When it was over: woken, or another is ready in its place.
    """

    how: How
    victim: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Owned:
    """An instance has taken a partition over.

    Args:
        by: Which one.
        books: Partition of `schedule.jobs`.
        at: When it had done so, seconds since 1970.
        took_seconds: How long it took: shutting the owner before out, and reading the log.
    """

    by: str
    books: int
    at: float
    took_seconds: float


@dataclass(frozen=True)
class GoneOn:
    """A struck instance's partition went on elsewhere.

    Args:
        strike: After which.
        books: Partition of `schedule.jobs`.
        seconds: From the strike to the next tick that was seen; None where there was none any more.
        noticed_seconds: Of it, until the group gave the partition to another; None where it isn't known.
        taken_over_seconds: Of it, until that one had taken it over.
    """

    strike: Strike
    books: int
    seconds: float | None
    noticed_seconds: float | None
    taken_over_seconds: float | None


@dataclass(frozen=True)
class Gap:
    """No tick was seen.

    Args:
        start_seconds, end_seconds: From when to when, seconds since 1970.
    """

    start_seconds: float
    end_seconds: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end_seconds - self.start_seconds


def gone_on(ticks: Sequence[SeenTick], owned: Sequence[Owned], strike: Strike) -> list[GoneOn]:
    """How a struck instance's partitions went on.

    Args:
        ticks: All, in the order in which they were seen.
        owned: Who has taken what over.
        strike: Of an instance.
    """
    found = []
    for books in sorted({tick.books for tick in ticks}):
        before = [tick for tick in ticks if tick.books == books and tick.seen_at <= strike.start_seconds]
        since_seconds = before[-1].seen_at if before else 0.0
        takers = [each.by for each in owned if each.books == books and since_seconds < each.at <= strike.start_seconds]
        if [*(tick.by for tick in before[-1:]), *takers][-1:] != [strike.victim]:
            continue
        after = [
            tick
            for tick in ticks
            if tick.books == books and tick.seen_at > strike.start_seconds and tick.by != strike.victim
        ]
        taken = [
            each
            for each in owned
            if each.books == books and each.at > strike.start_seconds and after and each.by == after[0].by
        ]
        noticed = taken_over = None
        if taken:
            noticed = max(0.0, taken[0].at - taken[0].took_seconds - strike.start_seconds)
            taken_over = taken[0].took_seconds
        seconds = after[0].seen_at - strike.start_seconds if after else None
        found.append(GoneOn(strike, books, seconds, noticed, taken_over))
    return found


def emitted_when_fenced(ticks: Iterable[SeenTick], owned: Sequence[Owned], strike: Strike) -> list[SeenTick]:
    """Ticks that a woken instance has emitted from partitions that weren't its any more."""
    return [
        tick
        for tick in ticks
        if tick.by == strike.victim
        and tick.seen_at > strike.end_seconds
        and not any(
            each.by == strike.victim and each.books == tick.books and strike.end_seconds <= each.at <= tick.seen_at
            for each in owned
        )
    ]


def longest_gap(ticks: Iterable[SeenTick]) -> Gap:
    """The longest time in which no tick was seen."""
    gaps = [Gap(before.seen_at, after.seen_at) for before, after in pairwise(ticks)]
    return max(gaps, key=lambda gap: gap.seconds, default=Gap(0.0, 0.0))


def longest_gaps(ticks: Sequence[SeenTick]) -> dict[int, Gap]:
    """The longest gap of each partition of `schedule.jobs`."""
    partitions = sorted({tick.books for tick in ticks})
    return {books: longest_gap(tick for tick in ticks if tick.books == books) for books in partitions}


def lateness_ms(ticks: Iterable[SeenTick]) -> list[float]:
    """From the scheduled time to that of reading, in milliseconds, sorted."""
    return sorted((tick.seen_at - tick.scheduled_at) * 1000 for tick in ticks)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """What this share of the values doesn't exceed; 0 of none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
