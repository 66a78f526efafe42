"""So many mails a second and no more, evenly: the n-th may go 1/rate after the one before it."""

from __future__ import annotations

import asyncio
from time import monotonic


class Pace:
    """Lets one through at a time, in the order in which they asked.

    Args:
        rate_per_second: How many; None lets all through.
    """

    def __init__(self, rate_per_second: float | None) -> None:
        self._step_seconds = 1 / rate_per_second if rate_per_second else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until it is one's turn."""
        if not self._step_seconds:
            return
        now = monotonic()
        mine = max(now, self._next)
        self._next = mine + self._step_seconds
        if mine > now:
            await asyncio.sleep(mine - now)
