"""The engine: runs a stream's handler over what is fed to it, and decides what becomes of each outcome.

A unit is tried in one of a fixed number of slots. It ends in exactly one way: done (outputs acknowledged), to be tried
again, dead letter (acknowledged), or dropped because its partition was lost or the worker stops; only the first and
third count for the offset. Nothing that a handler does reaches the caller: no exception leaves this module.

All methods run on the event loop. The invariants are numbered in docs/invariants.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tidemill.errors import DecodeError, HandlerCancelled, HandlerTimeout, RegistryError, TidemillError
from tidemill.runtime.burial import bury, hold_seconds
from tidemill.runtime.decoding import Decoding
from tidemill.runtime.error_text import brief
from tidemill.runtime.executors import ExecutorFault, StuckHandler
from tidemill.runtime.failure import as_failure
from tidemill.runtime.outputs import is_held
from tidemill.runtime.partition import Partition, Unit, facts_of, units_of
from tidemill.runtime.ready import Ready
from tidemill.runtime.slot import Slot
from tidemill.runtime.work import Output, as_outputs
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.codec import Codec
    from tidemill.event import Event, Message
    from tidemill.publisher import AsyncReceipt
    from tidemill.runtime.invoke import Invoke
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.stream import Stream

YIELD_EVERY = 64
"""Events that a slot handles before it lets the loop do other things, where its handler never waits."""


class Engine:
    """Runs one stream.

    Args:
        stream: What to run.
        codec: Decodes its events.
        outputs: Publishes what it returns, and dead letters.
        invoke: Calls its handler.
    """

    def __init__(self, stream: Stream, codec: Codec, outputs: Outputs, invoke: Invoke) -> None:
        self.stream = stream
        self.parts: dict[tuple[str, int], Partition] = {}
        self.slots: list[Slot] = []
        self.finished = 0
        """Events done since the start, dead letters included."""
        self.recycle = asyncio.Event()
        """Set when this process can't go on: a handler could not be stopped, or see `fault`."""
        self.fault: TidemillError | None = None
        """Why no process like this one would do better."""
        self._decoding = Decoding(codec, stream.payload)
        self._outputs = outputs
        self._invoke = invoke
        self._ready = Ready()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = Random()
        self._stopping = False
        self._stopped = False
        self._log = get_logger("stream").bind(stream=stream.name)
        self._on_task_end = self._task_ended

    def start(self, concurrency: int) -> None:
        """Open so many slots."""
        for _ in range(concurrency):
            self._open_slot()

    def _open_slot(self) -> None:
        slot = Slot()
        slot.task = asyncio.create_task(self._serve(slot), name=f"slot of {self.stream.name}")
        slot.task.add_done_callback(self._on_task_end)
        self.slots.append(slot)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            error: BaseException | None = None if self._stopped else asyncio.CancelledError("by somebody else")
        else:
            error = task.exception()
        if error is not None:
            # A fault of this module, not of a handler: its unit stays unfinished, so nothing is committed past it.
            self._log.critical("a task ended by an error of the runtime", exc_info=error)
            self._wind_up()

    def _wind_up(self) -> None:
        """This process can't go on: start nothing more, let the rest finish, be replaced."""
        self._stopping = True
        self.recycle.set()

    @property
    def ready_count(self) -> int:
        """Events that could start right now; may be read from another thread, and is at most a batch off."""
        return len(self._ready.units) * (self.stream.batch or 1)

    def assign(self, topic: str, number: int, finished: Sequence[range]) -> Partition:
        """A partition is assigned to this worker.

        Args:
            topic: Topic, with its namespace.
            number: Partition.
            finished: Offsets beyond the committed one that an earlier owner has finished.
        """
        part = Partition(topic, number, ordered=self.stream.order == "key", finished=finished)
        self.parts[topic, number] = part
        return part

    def partition(self, topic: str, number: int) -> Partition:
        """The partition's present assignment."""
        return self.parts.get((topic, number)) or self.assign(topic, number, ())

    def feed(self, part: Partition, messages: Sequence[Message]) -> None:
        """Take messages of one partition in hand, in offset order."""
        if not part.open or self._stopping:
            return  # Lost while it was on its way: it is delivered again to the new owner.
        ready, ordered = self._ready, self.stream.order == "key"
        try:
            for some in part.sort_out(messages):
                ready.units += [
                    u for u in units_of(part, some, batch=self.stream.batch, ordered=ordered) if part.add(u)
                ]
        except Exception:  # noqa: BLE001 - as every exception here: the agent that feeds must not see it
            # Were these just missing, later ones would be committed past them.
            self._log.critical("events could not be taken in hand", partition=part.number, exc_info=True)
            part.close()
            self._wind_up()
        ready.wake()

    async def _serve(self, slot: Slot) -> None:
        ready, units = self._ready, self._ready.units
        handled = 0
        while True:
            while not units:
                await ready.wait()
            unit = units.popleft()
            if self._stopping or not unit.part.open:
                continue
            if not await self._try(slot, unit):
                return
            handled += 1
            if handled % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _try(self, slot: Slot, unit: Unit) -> bool:
        """Try a unit once; returns whether its slot can be used again."""
        part = unit.part
        part.running += 1
        unit.started = time.monotonic()
        events = self._decoding.at_once(unit.messages)
        if events is None:
            await self._examine(unit)
            return True
        unit.attempt += 1
        work = self._invoke.work(unit.attempt) if self._invoke.wants_work else None
        error: BaseException | None = None
        outputs: list[Output] | None = None
        slot.deadline = unit.started + self.stream.timeout if self.stream.timeout is not None else float("inf")
        slot.unit = unit
        try:
            returned = await self._invoke(events, work)
            if returned is not None or work is not None:
                outputs = as_outputs(returned, work)
        except GeneratorExit:
            raise  # The loop is gone, and this coroutine with it.
        except BaseException as raised:  # noqa: BLE001 - whatever a handler raises has a policy
            error = raised
        finally:
            slot.unit = None
        if slot.task.cancelling():
            self._after_cancellation(slot, unit, error)
            return False
        if isinstance(error, StuckHandler):
            self._wind_up()
        if not part.alive:
            part.running -= 1
        elif error is not None:
            self._fail(unit, as_failure(error))
        elif outputs:
            await self._publish(unit, events, outputs)
        else:
            self._done(unit)
        return True

    def _after_cancellation(self, slot: Slot, unit: Unit, error: BaseException | None) -> None:
        """Settle the unit of a handler that was told to stop, whatever it made of that, and replace its slot."""
        if isinstance(error, StuckHandler):
            self._wind_up()
        if slot.left:
            return  # The watch has done all this.
        self._replace(slot)
        if self._stopped or not unit.part.alive:
            unit.part.running -= 1
        elif slot.overdue_since:
            late = HandlerTimeout(f"The handler ran longer than {self.stream.timeout:g} s and was stopped.")
            late.__cause__ = error
            self._fail(unit, late)
        else:
            self._fail(unit, HandlerCancelled("The handler cancelled the task it ran in."))

    def _replace(self, slot: Slot) -> None:
        self.slots.remove(slot)
        # However its task ends, as cancelled for instance: it is settled.
        slot.task.remove_done_callback(self._on_task_end)
        if not self._stopped:
            self._open_slot()

    async def _publish(self, unit: Unit, events: list[Event[Any]], outputs: list[Output]) -> None:
        try:
            await self._outputs.publish(unit, events, outputs, self._acknowledged)
        except Exception as error:  # noqa: BLE001 - an output that can't be published is a failure of its handler
            if unit.pending == 0:
                self._not_published(unit, error)
            else:
                unit.error = error  # Told when those already sent are settled.

    def _acknowledged(self, unit: Unit, receipt: AsyncReceipt) -> None:
        unit.pending -= 1
        if receipt.error is not None and unit.error is None:
            unit.error = receipt.error
        if unit.pending > 0:
            return
        error, unit.error = unit.error, None
        if not unit.part.alive:
            unit.part.running -= 1
        elif error is None:
            self._done(unit)
        else:
            self._not_published(unit, error)

    def _not_published(self, unit: Unit, error: Exception) -> None:
        if is_held(error) and unit.part.alive:
            # The handler has done its part: this try doesn't count, or a broker's absence would make dead letters.
            unit.attempt -= 1
            self._hold(unit, "outputs can't be published, the event waits", error)
        else:
            self._fail(unit, error)

    def _done(self, unit: Unit) -> None:
        if self.stream.log_each:
            self._log.info("done", **facts_of(unit))
        self._settle(unit)

    def _settle(self, unit: Unit) -> None:
        """The messages of this try are through, one way or the other."""
        part = unit.part
        part.running -= 1
        self.finished += unit.count
        following = part.finish(unit)
        if following is not None:
            self._ready.put(following)

    def _fail(self, unit: Unit, error: Exception) -> None:
        if not unit.part.alive:
            unit.part.running -= 1
        elif isinstance(error, ExecutorFault):
            self._log.critical("handlers can't be run", **facts_of(unit), error=brief(error))
            self.fault = error
            unit.part.running -= 1
            self._wind_up()
        elif unit.count > 1:
            self._log.warning("batch failed, trying one by one", **facts_of(unit), error=brief(error))
            self._one_by_one(unit)
        elif self.stream.retry.may_retry(error, unit.attempt):
            delay = self.stream.retry.delay_seconds(unit.attempt, self._random)
            in_seconds = round(delay, 3)
            self._log.warning("failed, will try again", **facts_of(unit), error=brief(error), in_seconds=in_seconds)
            self._try_later(unit, delay)
        else:
            self._spawn_bury(unit, error, unit.attempt)

    def _one_by_one(self, unit: Unit) -> None:
        unit.part.running -= 1
        for single in unit.part.split(unit):
            self._ready.put(single)

    def _try_later(self, unit: Unit, delay_seconds: float) -> None:
        unit.part.running -= 1
        asyncio.get_running_loop().call_later(delay_seconds, self._ready.put, unit)

    def _hold(self, unit: Unit, what: str, error: Exception) -> None:
        """Try again later, without counting it: it is nobody's fault here."""
        delay = hold_seconds(unit.holds)
        unit.holds += 1
        self._log.error(what, **facts_of(unit), error=brief(error), in_seconds=delay)
        self._try_later(unit, delay)

    def _spawn_bury(self, unit: Unit, error: Exception, attempts: int) -> None:
        task = asyncio.create_task(self._bury(unit, error, attempts))
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)

    async def _bury(self, unit: Unit, error: Exception, attempts: int) -> None:
        written = await bury(unit, error, attempts, self._outputs, self._log)
        if written and unit.part.alive:
            self._settle(unit)
        else:
            unit.part.running -= 1

    async def _examine(self, unit: Unit) -> None:
        """Decode with the registry's help; what can't be decoded becomes a dead letter, the rest is tried."""
        for index, message in enumerate(unit.messages):
            try:
                await self._decoding.examine(message)
            except RegistryError as away:
                self._hold(unit, "schema can't be fetched, the event waits", away)
                return
            except DecodeError as error:
                if unit.count > 1:
                    self._log.warning("batch holds bytes that can't be decoded", index=index, **facts_of(unit))
                    self._one_by_one(unit)
                else:
                    self._spawn_bury(unit, error, 0)
                return
        unit.part.running -= 1
        self._ready.put(unit)

    def check_deadlines(self, now: float, grace_seconds: float) -> None:
        """Stop handlers whose time is over; give up on those that don't stop.

        Args:
            now: time.monotonic().
            grace_seconds: How long a handler may take to stop.
        """
        if self.stream.executor != "async":
            return  # Threads and processes are stopped by their executors.
        for slot in list(self.slots):
            unit = slot.unit
            if unit is None or now < slot.deadline:
                continue
            if not slot.overdue_since:
                slot.overdue_since = now
                slot.tell_to_stop()
            elif now > slot.overdue_since + grace_seconds:
                slot.left = True
                self._wind_up()
                self._replace(slot)
                self._tasks.add(slot.task)
                slot.task.add_done_callback(self._tasks.discard)
                self._fail(
                    unit,
                    StuckHandler(
                        f"The handler ran longer than {self.stream.timeout:g} s and ignored that it was cancelled.",
                        hint="Don't catch CancelledError without raising it again.",
                    ),
                )

    async def quiesce(self, parts: Sequence[Partition], wait_seconds: float) -> bool:
        """Start nothing more of these partitions, and wait for what runs.

        Returns:
            Whether everything that ran is through.
        """
        for part in parts:
            part.close()
        deadline = time.monotonic() + wait_seconds
        while any(part.running for part in parts):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def lose(self, keys: Sequence[tuple[str, int]]) -> None:
        """These partitions belong to somebody else: stop what still runs of them, count nothing of it."""
        for key in keys:
            part = self.parts.pop(key, None)
            if part is None:
                continue
            part.lose()
            for slot in self.slots:
                if slot.unit is not None and slot.unit.part is part and not slot.lost:
                    slot.lost = True
                    slot.tell_to_stop()

    def committable(self) -> list[Partition]:
        """Partitions of which something was done since the last commit; may be called from another thread."""
        return [part for part in list(self.parts.values()) if part.changed]

    async def drain(self, wait_seconds: float) -> bool:
        """Take no new work and wait for what runs; returns whether all of it is through."""
        self._stopping = True
        self._ready.units.clear()
        return await self.quiesce(list(self.parts.values()), wait_seconds)

    async def stop(self) -> None:
        """End all slots and what still runs in them; what is not done stays uncommitted."""
        self._stopping = self._stopped = True
        if tasks := [*(slot.task for slot in self.slots), *self._tasks]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)
        self._invoke.stop()
