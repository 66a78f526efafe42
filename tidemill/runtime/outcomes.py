"""What becomes of a unit after a try: done, again later, a batch's events one by one, or a dead letter.

A unit ends in exactly one way; only when it is done, or its dead letter is written, does it count for the offset (I1).
All methods run on the event loop, and let out no exception.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tidemill import delayed
from tidemill.errors import EffectUnderWay, LedgerUnavailable, TidemillError
from tidemill.event import Event
from tidemill.runtime.burial import bury, hold_seconds, put_off
from tidemill.runtime.error_text import brief
from tidemill.runtime.executors import ExecutorFault, StuckHandler
from tidemill.runtime.facts import facts_of
from tidemill.runtime.finished import held_for
from tidemill.runtime.outputs import is_held
from tidemill.runtime.partition import Unit
from tidemill.runtime.retry_route import can_go_around, origin
from tidemill.runtime.room import Room
from tidemill.runtime.waiting import Waiting

if TYPE_CHECKING:
    import structlog

    from tidemill.runtime.cancels import Cancels
    from tidemill.runtime.farewell import Farewells
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.ready import Ready
    from tidemill.runtime.recall import Recall
    from tidemill.runtime.recorder import StreamRecorder
    from tidemill.runtime.stream import Stream
    from tidemill.runtime.teller import Teller
    from tidemill.runtime.work import Output


@dataclass(frozen=True)
class Waits:
    """Where and how long events of a stream may wait for their next try."""

    most_seconds: float = math.inf
    """What a `RetryAfter` is shortened to."""
    retry_topic: str | None = None
    """The topic on which it gets back what waits on `schedule.delayed`, with its namespace; None where none does."""


class Outcomes:
    """Settles the units of one stream.

    Args:
        stream: Its retry policy counts.
        waits: Where and how long its events may wait.
        outputs: Publishes what its handler returns, and dead letters.
        teller: Tells of events that wait for their next try.
        cancels: The jobs whose events are not tried again; None where the stream heeds none.
        ready: Where units go that may start again.
        spawn: Runs a coroutine beside the slots, and looks after it.
        give_up: Called where this process can't go on, with the reason if none like it could.
        recorder: Where to note down what the next process must know; None for nowhere.
        recall: Fetches messages again that were let go; None to keep all.
        farewells: Tells of dead letters.
        log: For all that doesn't go well.
    """

    def __init__(
        self,
        stream: Stream,
        waits: Waits,
        outputs: Outputs,
        teller: Teller,
        cancels: Cancels | None,
        ready: Ready,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        give_up: Callable[[TidemillError | None], None],
        recorder: StreamRecorder | None,
        recall: Recall | None,
        farewells: Farewells,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.finished = 0
        """Events done since the start, dead letters included."""
        self._stream = stream
        self._outputs = outputs
        self._teller = teller
        self._cancels = cancels
        self._ready = ready
        self._spawn = spawn
        self._give_up = give_up
        self._recorder = recorder
        self._farewells = farewells
        self._random = Random()
        self._waits = waits
        self.waiting = Waiting(ready)
        self.room = Room(stream, self.waiting, recall, self._start, log)
        self._log = log

    async def publish(self, unit: Unit, events: list[Event[Any]], outputs: list[Output]) -> None:
        """Publish what a unit's handler has returned; it is done once all of that is acknowledged."""
        await self._outputs.publish(unit, events, outputs, self._published)

    def _published(self, unit: Unit, error: Exception | None) -> None:
        if not unit.part.alive:
            unit.part.running -= 1
        elif error is None:
            self.done(unit)
        else:
            self._not_published(unit, error)

    def _not_published(self, unit: Unit, error: Exception) -> None:
        if is_held(error) and unit.part.alive:
            # The handler has done its part: this try doesn't count, or a broker's absence would make dead letters.
            unit.attempt -= 1
            self.hold(unit, "outputs can't be published, the event waits", error)
        else:
            self.fail(unit, error)

    def done(self, unit: Unit) -> None:
        """Its handler has succeeded, and there is nothing to publish, or it is published."""
        if self._stream.log_each:
            self._log.info("done", **facts_of(unit))
        self._settle(unit)

    def _settle(self, unit: Unit) -> None:
        """The messages of this try are through, one way or the other."""
        part = unit.part
        part.running -= 1
        self.finished += unit.count
        following = part.finish(unit)
        if following is None:
            return
        if following.messages and not part.held:
            self._ready.put(following)
        else:
            self._start(following)

    def _start(self, unit: Unit) -> None:
        if self.is_to_wait(unit):
            return
        if unit.messages:
            self._ready.put(unit)
        else:
            self.room.call_back(unit)

    def is_to_wait(self, unit: Unit) -> bool:
        """Whether a unit has still to wait for the try that an earlier owner has put off; then it does wait."""
        held = unit.part.held.get(unit.offset) if unit.part.held else None
        left_seconds = held.left_seconds(time.time()) if held is not None else 0.0
        if not left_seconds or self._why_cancelled(unit) is not None:
            return False
        self.waiting.put(unit, left_seconds)
        return True

    def fail(self, unit: Unit, error: Exception) -> None:
        """A try has failed: by the policy that is another one, later, or a dead letter."""
        if not unit.part.alive:
            unit.part.running -= 1
        elif isinstance(error, ExecutorFault):
            self._log.critical("handlers can't be run", **facts_of(unit), error=brief(error))
            unit.part.running -= 1
            self._give_up(error)
        elif unit.count == 1 and (why := self._why_cancelled(unit)) is not None:
            self.cancel(unit, why)
        elif isinstance(error, LedgerUnavailable | EffectUnderWay):
            # Nothing was done, and it is nobody's fault here.
            unit.attempt -= 1
            self.hold(unit, "an effect can't be done now, the event waits", error)
        elif unit.count > 1:
            if isinstance(error, StuckHandler) and self._recorder is not None:
                # Or the process that takes this one's place would be given the same batch, and get stuck in it.
                self._recorder.note(self._recorder.take_place(), unit)
            self._log.warning("batch failed, trying one by one", **facts_of(unit), error=brief(error))
            self.one_by_one(unit)
        elif (wait := self._wait_seconds(unit, error)) is None:
            self.bury(unit, error, unit.attempt)
        else:
            around = self._goes_around(unit, wait)
            way = {"through": delayed.TOPIC} if around else {}
            in_seconds = round(wait, 3)
            self._log.warning(
                "failed, will try again", **facts_of(unit), error=brief(error), in_seconds=in_seconds, **way
            )
            self._teller.waiting(unit, wait, error)
            if around:
                self._spawn(self._put_off(unit, wait))
            else:
                self._hold_in_place(unit, wait)

    def _why_cancelled(self, unit: Unit) -> str | None:
        return self._cancels.why(unit) if self._cancels else None

    def _wait_seconds(self, unit: Unit, error: Exception) -> float | None:
        retry, age_seconds = self._stream.retry, 0.0
        if retry.expires is not None:
            written_ms = origin(unit.messages[0]).timestamp_ms
            # Without a timestamp only the number of tries counts.
            age_seconds = time.time() - written_ms / 1000 if written_ms > 0 else 0.0
        return retry.wait_seconds(error, unit.attempt, age_seconds, self._random, self._waits.most_seconds)

    def _goes_around(self, unit: Unit, wait_seconds: float) -> bool:
        return (
            self._waits.retry_topic is not None
            and wait_seconds > self._stream.retry.in_place
            and can_go_around(unit.messages[0])
        )

    def _hold_in_place(self, unit: Unit, wait_seconds: float) -> None:
        unit.part.hold(held_for(unit.offset, unit.attempt, wait_seconds, time.time()))
        self._try_later(unit, wait_seconds)
        self.room.make(unit.part)

    async def _put_off(self, unit: Unit, wait_seconds: float) -> None:
        written = await put_off(unit, wait_seconds, self._outputs, self._log)
        if isinstance(written, TidemillError):
            self._log.error("retry can't be put off, it waits here", **facts_of(unit), error=brief(written))
            self._hold_in_place(unit, wait_seconds)
        else:
            unit.part.running -= 1
            if written:
                # It goes on elsewhere, and is counted there. Nothing follows it: its stream keeps no order.
                unit.part.finish(unit)

    def one_by_one(self, unit: Unit) -> None:
        """Try the events of a batch singly, so that those that are fine get through."""
        unit.part.running -= 1
        for single in unit.part.split(unit):
            self._ready.put(single)

    def _try_later(self, unit: Unit, delay_seconds: float) -> None:
        unit.part.running -= 1
        self.waiting.put(unit, delay_seconds)

    def hold(self, unit: Unit, what: str, error: Exception) -> None:
        """Try again later, without counting it: it is nobody's fault here."""
        delay = hold_seconds(unit.holds)
        unit.holds += 1
        self._log.error(what, **facts_of(unit), error=brief(error), in_seconds=delay)
        self._teller.waiting(unit, delay, error)
        self._try_later(unit, delay)

    def cancel(self, unit: Unit, why: str) -> None:
        """Its job is cancelled: say so, and when that is acknowledged it is done. A unit of one message.

        Args:
            unit: It isn't begun, or its handler was stopped.
            why: Who asked for it, and why.
        """
        self._spawn(self._cancel(unit, why))

    async def _cancel(self, unit: Unit, why: str) -> None:
        event: Event[Any] = Event.received(None, unit.messages[0])
        said = self._teller.as_output(event, unit, "cancelled", error=why)

        def published(unit: Unit, error: Exception | None) -> None:
            if not unit.part.alive:
                unit.part.running -= 1
            elif error is None:
                self._log.info("cancelled", **facts_of(unit), why=why)
                self._settle(unit)
            elif is_held(error):
                self.hold(unit, "that an event is cancelled can't be told, it waits", error)
            else:
                self.bury(unit, error, unit.attempt)

        await self._outputs.publish(unit, [event], [said], published, series="cancelled:")

    def bury(self, unit: Unit, error: Exception, attempts: int) -> None:
        """Write the dead letter of a unit of one message; it counts as finished once that is acknowledged."""
        self._spawn(self._bury(unit, error, attempts))

    async def _bury(self, unit: Unit, error: Exception, attempts: int) -> None:
        written = await bury(unit, error, attempts, self._outputs, self._log)
        if written and unit.part.alive:
            await self._farewells.say(unit, error)
        if written and unit.part.alive:
            self._settle(unit)
        else:
            unit.part.running -= 1
