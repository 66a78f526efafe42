"""A slot: the place where one unit is tried at a time, and what is known about stopping its handler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.runtime.partition import Unit
    from tidemill.runtime.work import Work


class Slot:
    """One of a fixed number of tasks that run handlers.

    A slot whose task was cancelled, by whomever and however it went on from there, is not used again: a cancellation
    that came a moment too late for the handler would come up later, in the middle of something else (CPython before
    3.13 keeps it pending through `uncancel`). Another slot takes its place.
    """

    __slots__ = ("deadline", "left", "lost", "overdue_since", "place", "task", "unit", "work")

    task: asyncio.Task[None]

    def __init__(self, place: int) -> None:
        self.place = place
        """Its place in the recorder, if there is one."""
        self.unit: Unit | None = None
        """The unit whose handler runs right now."""
        self.work: Work | None = None
        """The Work of that handler, or of the last one."""
        self.deadline = 0.0
        """When its handler's time is over (time.monotonic())."""
        self.overdue_since = 0.0
        """When its handler was told to stop for its time limit or a cancelled job; 0 if it wasn't."""
        self.lost = False
        """Its handler was told to stop because its partition was lost."""
        self.left = False
        """Its handler didn't stop when told to: its unit was settled without it."""

    def tell_to_stop(self) -> None:
        """Cancel its handler."""
        self.task.cancel()
