"""Units that wait in this worker for their next try. Their places in Kafka stay theirs: nothing is acknowledged.

Runs on the event loop. What must outlive the worker is kept by the partition, which tells it to the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.runtime.partition import Partition, Unit
    from tidemill.runtime.ready import Ready


class Waiting:
    """The units of one stream that wait.

    Args:
        ready: Where they go when their time has come.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._timers: dict[Unit, asyncio.TimerHandle] = {}

    def put(self, unit: Unit, seconds: float) -> None:
        """Let a unit start after so many seconds."""
        self._timers[unit] = asyncio.get_running_loop().call_later(seconds, self._due, unit)

    def _due(self, unit: Unit) -> None:
        del self._timers[unit]
        self._ready.put(unit)

    def long(self, part: Partition, seconds: float) -> list[Unit]:
        """Units of a partition that wait for longer than so many seconds still."""
        after = asyncio.get_running_loop().time() + seconds
        return [unit for unit, timer in self._timers.items() if unit.part is part and timer.when() > after]

    def wake(self, is_meant: Callable[[Unit], bool]) -> None:
        """Let units start at once, those that are meant."""
        for unit in [unit for unit in self._timers if is_meant(unit)]:
            self._timers.pop(unit).cancel()
            self._ready.put(unit)

    def drop(self, part: Partition) -> None:
        """Forget the units of a partition that went elsewhere; a long wait would keep their bytes as long."""
        for unit in [unit for unit in self._timers if unit.part is part]:
            self._timers.pop(unit).cancel()

    def drop_all(self) -> None:
        """Forget all of them."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
