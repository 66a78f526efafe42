"""The watch: time limits of handlers, an event loop that doesn't turn any more, and a clock that was set back.

It looks at progress, not at whether the process lives: a worker that answers its group but handles nothing is dead.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.runtime.engine import Engine
    from tidemill.runtime.stream import Stream

STOP_GRACE_SECONDS = 5.0
"""How long a handler may take to stop once it was cancelled."""
BLOCKED_SECONDS = 60.0
"""How long the event loop may stand still: then the process ends, and its events go to another."""
BLOCKED_EXIT = 73
SET_BACK_SECONDS = 5.0
"""From which on a clock that was set back ends the process: librdkafka's threads wait by the clock, not by a timer
(librdkafka 2.16.0, tinycthread_extra.c, cnd_timedwait_abs), and those that wait just then sleep so much longer. Outputs
then stay unacknowledged, and their time limits don't come."""
TICK_SECONDS = 0.25


class Watch:
    """Watches the engines of one process.

    Args:
        engines: What to watch; more may come while it runs.
        streams: What these run; the shortest time limit sets the pace.
        on_set_back: Called where the clock was set back: what waits by it sleeps for as long, and this process is to be
            replaced.
        blocked_seconds: How long the loop may stand still.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        streams: Sequence[Stream],
        on_set_back: Callable[[], None],
        blocked_seconds: float = BLOCKED_SECONDS,
    ) -> None:
        self._engines = engines
        self._on_set_back = on_set_back
        self._blocked_seconds = blocked_seconds
        self._beat = time.monotonic()
        self._stop = threading.Event()
        self._clock_ahead = time.time() - time.monotonic()
        shortest = min((each.timeout for each in streams if each.timeout is not None), default=TICK_SECONDS * 4)
        self._tick = max(0.005, min(TICK_SECONDS, shortest / 4))

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(target=self._watch_loop, name="tidemill-watch", daemon=True)
        thread.start()
        try:
            while True:
                await asyncio.sleep(self._tick)
                now = self._beat = time.monotonic()
                self._look_at_clock(now)
                for engine in self._engines:
                    engine.check_deadlines(now, STOP_GRACE_SECONDS)
        finally:
            self._stop.set()

    def _look_at_clock(self, now: float) -> None:
        ahead = time.time() - now
        back_seconds, self._clock_ahead = self._clock_ahead - ahead, ahead
        if back_seconds > SET_BACK_SECONDS:
            get_logger("watch").error("the clock was set back", seconds=round(back_seconds, 1))
            self._on_set_back()

    def _watch_loop(self) -> None:
        while True:
            before = time.monotonic()
            if self._stop.wait(1.0):
                return
            now = time.monotonic()
            if now - before > 5.0:
                # This thread stood still as well: the whole process was stopped (SIGSTOP, a suspended machine).
                self._beat = now
            elif now - self._beat > self._blocked_seconds:
                get_logger("watch").critical(
                    "the event loop stands still, this process ends", seconds=round(now - self._beat, 1)
                )
                faulthandler.dump_traceback(sys.stderr)
                os._exit(BLOCKED_EXIT)
