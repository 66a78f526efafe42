"""From values to places: an axis with round numbers on it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10


class Scale:
    """A linear axis that contains zero.

    Args:
        values: All that have to fit.
        start: Place of the least.
        end: Place of the most.
        ticks: How many round numbers there are about.
    """

    def __init__(self, values: Sequence[float], start: float, end: float, ticks: int = 4) -> None:
        low, high = min(0.0, *values), max(0.0, *values)
        if low == high:
            high = 1.0
        step = nice_step((high - low) / ticks)
        first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
        # By multiplication, so that no error adds up from tick to tick.
        self.ticks = [_clean(step * number) for number in range(first, last + 1)]
        self._low, self._high = self.ticks[0], self.ticks[-1]
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        """Where a value is."""
        return self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start)


def nice_step(rough: float) -> float:
    """The least 1, 2, 2.5 or 5 times a power of ten that is at least so much."""
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _clean(value: float) -> float:
    return float(f"{value:.12g}")
