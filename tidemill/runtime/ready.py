"""The queue of units that may start now, and the slots that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.runtime.partition import Unit


class Ready:
    """Units that may start, first come first served.

    Slots take from `units` themselves, and wait only while it is empty: a queue with a lock would cost more than many a
    handler.
    """

    __slots__ = ("_waiting", "units")

    def __init__(self) -> None:
        self.units: deque[Unit] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def put(self, unit: Unit) -> None:
        """Append one unit and wake a slot."""
        self.units.append(unit)
        self.wake()

    def wake(self) -> None:
        """Wake as many slots as there are units; after appending to `units`."""
        waiting = self._waiting
        for _ in range(min(len(waiting), len(self.units))):
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until there is a unit; somebody else may take it first."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter
