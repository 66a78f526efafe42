"""How many events a token may publish a second: a bucket that fills at the rate. Computes only.

What a request costs is known only when its body has been read, so it may put the bucket into debt; the next one waits
until that is paid. On average the rate holds, whatever the sizes of batches.
"""

from __future__ import annotations


class Bucket:
    """Room for so many events.

    Args:
        rate: Events a second by which it fills.
        burst: How many it holds at most; at first it is full.
        now: The present in seconds, by a clock that only goes forward.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, max(1.0, burst)
        self._level, self._at = self._burst, now

    def wait_seconds(self, now: float) -> float:
        """How long to wait before the next request; 0 if it may come now."""
        self._fill(now)
        return 0.0 if self._level >= 1 else (1 - self._level) / self._rate

    def take(self, events: int, now: float) -> None:
        """Count events, also more than there is room for."""
        self._fill(now)
        self._level -= events

    def _fill(self, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
