"""The slots of an engine: opened, watched, told to stop, and replaced by others.

A handler is told to stop at its time limit, when its partition is lost, or when its job is cancelled. What becomes of
its event then is up to `outcomes`. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tidemill.errors import HandlerCancelled, HandlerTimeout
from tidemill.runtime.executors import StuckHandler
from tidemill.runtime.slot import Slot
from tidemill.runtime.teller import RUNNING_AFTER_SECONDS

if TYPE_CHECKING:
    from tidemill.runtime.cancels import Cancels
    from tidemill.runtime.outcomes import Outcomes
    from tidemill.runtime.partition import Partition, Unit
    from tidemill.runtime.recorder import StreamRecorder
    from tidemill.runtime.stream import Stream
    from tidemill.runtime.tasks import Tasks
    from tidemill.runtime.teller import Teller


class Slots:
    """The slots of one stream.

    Args:
        stream: What runs in them.
        serve: What a slot's task does.
        tasks: Looks after it.
        outcomes: Settles the units of handlers that were told to stop.
        teller: Tells of handlers that take their time.
        wind_up: Called where a handler doesn't stop.
        recorder: Where they have their places; None for nowhere.
    """

    def __init__(
        self,
        stream: Stream,
        serve: Callable[[Slot], Coroutine[Any, Any, None]],
        tasks: Tasks,
        outcomes: Outcomes,
        teller: Teller,
        wind_up: Callable[[], None],
        recorder: StreamRecorder | None,
    ) -> None:
        self.all: list[Slot] = []
        self._stream = stream
        self._serve = serve
        self._tasks = tasks
        self._outcomes = outcomes
        self._teller = teller
        self._wind_up = wind_up
        self._recorder = recorder
        self._stopped = False
        # Without a time limit it is told to stop for its job's sake alone.
        self._ran_too_long = f"ran longer than {stream.timeout:g} s and " if stream.timeout is not None else ""

    def open(self) -> None:
        """Open one more."""
        slot = Slot(self._recorder.take_place() if self._recorder is not None else 0)
        slot.task = self._tasks.watched(self._serve(slot), f"slot of {self._stream.name}")
        self.all.append(slot)

    def _replace(self, slot: Slot) -> None:
        self.all.remove(slot)
        if self._recorder is not None:
            self._recorder.give_back(slot.place)
        # However its task ends, as cancelled for instance: it is settled.
        self._tasks.look_away(slot.task)
        if not self._stopped:
            self.open()

    def settle_stopped(self, slot: Slot, unit: Unit, error: BaseException | None) -> None:
        """Settle the unit of a handler that was told to stop, whatever it made of that, and replace its slot.

        Args:
            slot: Where it ran.
            unit: What it was given.
            error: What it raised, if it did.
        """
        if isinstance(error, StuckHandler):
            self._wind_up()
        if slot.left:
            return  # All this is done.
        self._replace(slot)
        if self._stopped or not unit.part.alive:
            unit.part.running -= 1
        elif slot.overdue_since:
            late = HandlerTimeout(f"The handler {self._ran_too_long}was stopped.")
            late.__cause__ = error
            self._outcomes.fail(unit, late)
        else:
            self._outcomes.fail(unit, HandlerCancelled("The handler cancelled the task it ran in."))

    def look(self, now: float, grace_seconds: float) -> None:
        """Tell of handlers that take their time; stop those whose time is over, and give up on those that don't stop.

        Args:
            now: time.monotonic().
            grace_seconds: How long a handler may take to stop.
        """
        since = now - RUNNING_AFTER_SECONDS
        # Threads and processes are stopped by their executors.
        is_stopped_here = self._stream.executor == "async"
        for slot in list(self.all):
            unit = slot.unit
            if unit is None:
                continue
            if unit.told < unit.started < since:
                self._teller.running(unit)
            if not is_stopped_here or now < slot.deadline:
                continue
            if not slot.overdue_since:
                slot.overdue_since = now
                slot.tell_to_stop()
            elif now > slot.overdue_since + grace_seconds:
                self._leave(slot, unit)

    def _leave(self, slot: Slot, unit: Unit) -> None:
        slot.left = True
        self._wind_up()
        self._replace(slot)
        self._tasks.keep(slot.task)
        self._outcomes.fail(
            unit,
            StuckHandler(
                f"The handler {self._ran_too_long}ignored that it was cancelled.",
                hint="Don't catch CancelledError without raising it again.",
            ),
        )

    def lose(self, part: Partition) -> None:
        """Stop the handlers of a partition that belongs to somebody else."""
        for slot in self.all:
            if slot.unit is not None and slot.unit.part is part and not slot.lost:
                slot.lost = True
                slot.tell_to_stop()

    def cancel(self, cancels: Cancels) -> None:
        """Stop the handlers of cancelled jobs, where they can be; batches go on, for not all of one is meant."""
        for slot in self.all:
            unit = slot.unit
            if unit is None or self._stream.batch is not None or cancels.why(unit) is None:
                continue
            if slot.work is not None:
                slot.work.cancel()
            if self._stream.executor != "thread" and not slot.overdue_since:
                slot.deadline = slot.overdue_since = time.monotonic()
                slot.tell_to_stop()

    def stop(self) -> list[asyncio.Task[None]]:
        """Open none any more; returns the tasks that are left."""
        self._stopped = True
        return [slot.task for slot in self.all]
