"""From handlers to the event loop: what they say with `Work.progress`, from whichever thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.runtime.error_text import brief

if TYPE_CHECKING:
    import structlog

    from tidemill.runtime.progress import ProgressReport
    from tidemill.runtime.slots import Slots
    from tidemill.runtime.teller import Teller


class Hearing:
    """Hears the handlers of one stream. Made on the event loop.

    Args:
        slots: Where they run.
        teller: Told what they say.
        log: For reports that can't be understood.
    """

    def __init__(self, slots: Slots, teller: Teller, log: structlog.stdlib.BoundLogger) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._teller = teller
        self._log = log

    def take(self, work: object, report: ProgressReport) -> None:
        """As `Listener.take`."""
        # A closed loop: the worker has ended, and this thread of a handler that wouldn't stop ends with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, work, report)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """As `Listener.later`."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, function)

    def _take(self, work: object, report: ProgressReport) -> None:
        for slot in self._slots.all:
            # A report of a try that is over comes too late.
            if slot.work is work and slot.unit is not None:
                try:
                    self._teller.said(slot.unit, report)
                except (TypeError, ValueError, OverflowError) as error:
                    self._log.warning("progress that is no number", said=repr(report)[:200], error=brief(error))
                return
