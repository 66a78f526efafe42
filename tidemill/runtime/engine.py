"""The engine: runs a stream's handler over what is fed to it.

A unit is tried in one of a fixed number of slots. What becomes of it is up to `outcomes`, unless it is dropped because
its partition was lost or the worker stops. No exception leaves this module, whatever a handler does.

All methods run on the event loop. The invariants are numbered in docs/invariants.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import DecodeError, HandlerCancelled, HandlerTimeout, RegistryError, TidemillError
from tidemill.runtime.carried import Carried
from tidemill.runtime.decoding import Decoding
from tidemill.runtime.executors import StuckHandler
from tidemill.runtime.facts import facts_of
from tidemill.runtime.failure import as_failure
from tidemill.runtime.finished import Ahead
from tidemill.runtime.outcomes import Outcomes, Waits
from tidemill.runtime.partition import Partition, Unit
from tidemill.runtime.ready import Ready
from tidemill.runtime.recorder import ALONE_FROM_DEATHS, MOST_DEATHS
from tidemill.runtime.slot import Slot
from tidemill.runtime.suspicion import Alone, Suspicion, died_of
from tidemill.runtime.work import Output, as_outputs
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.codec import Codec
    from tidemill.event import Message
    from tidemill.runtime.invoke import Invoke
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.recall import Recall
    from tidemill.runtime.recorder import StreamRecorder
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
        recorder: Where to note down what is in work, should this process die of it; None for nowhere.
        suspicion: The events that were in work when an earlier process died.
        alone: Shared by the engines of a process.
        waits: Where and how long failed events may wait.
        recall: Fetches messages again that were let go meanwhile; None to keep all.
    """

    def __init__(
        self,
        stream: Stream,
        codec: Codec,
        outputs: Outputs,
        invoke: Invoke,
        *,
        recorder: StreamRecorder | None = None,
        suspicion: Suspicion | None = None,
        alone: Alone | None = None,
        waits: Waits | None = None,
        recall: Recall | None = None,
    ) -> None:
        self.stream = stream
        self.parts: dict[tuple[str, int], Partition] = {}
        self.slots: list[Slot] = []
        self.recycle = asyncio.Event()
        """Set when this process can't go on: a handler could not be stopped, or see `fault`."""
        self.fault: TidemillError | None = None
        """Why no process like this one would do better."""
        self._decoding = Decoding(codec, stream.payload)
        self._invoke = invoke
        # Processes of their own take no other down with them.
        self._recorder = recorder if stream.executor != "process" else None
        waits = waits or Waits()
        self._carried = Carried(suspicion or Suspicion(), waits.retry_topic)
        self._alone = alone or Alone()
        self._alone.engines.append(self)
        self._ready = Ready()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._stopped = False
        self._log = get_logger("stream").bind(stream=stream.name)
        self._on_task_end = self._task_ended
        self._outcomes = Outcomes(
            stream, waits, outputs, self._ready, self._spawn, self.wind_up, self._recorder, recall, self._log
        )

    def start(self, concurrency: int) -> None:
        """Open so many slots."""
        for _ in range(concurrency):
            self._open_slot()

    def _open_slot(self) -> None:
        slot = Slot(self._recorder.take_place() if self._recorder is not None else 0)
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
            self.wind_up()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)

    def wind_up(self, fault: TidemillError | None = None) -> None:
        """This process can't go on: start nothing more, let the rest finish, be replaced."""
        self.fault = self.fault or fault
        self._stopping = True
        self.recycle.set()

    @property
    def finished(self) -> int:
        """Events done since the start, dead letters included."""
        return self._outcomes.finished

    @property
    def ready_count(self) -> int:
        """Events that could start right now; may be read from another thread, and is at most a batch off."""
        return len(self._ready.units) * (self.stream.batch or 1)

    @property
    def is_at_work(self) -> bool:
        """Whether a handler runs in this very process."""
        return self.stream.executor != "process" and any(slot.unit is not None for slot in self.slots)

    def wake(self) -> None:
        """Look again what may start."""
        self._ready.wake()

    def assign(self, topic: str, number: int, ahead: Ahead) -> Partition:
        """A partition is assigned to this worker.

        Args:
            topic: Topic, with its namespace.
            number: Partition.
            ahead: What an earlier owner has finished beyond the committed offset, and which events it has put off.
        """
        part = Partition(
            topic,
            number,
            ordered=self.stream.order == "key",
            finished=ahead.finished,
            held=ahead.held,
            mark=self._carried.mark(topic, number),
        )
        self.parts[topic, number] = part
        return part

    def partition(self, topic: str, number: int) -> Partition:
        """The partition's present assignment."""
        return self.parts.get((topic, number)) or self.assign(topic, number, Ahead([], []))

    def feed(self, part: Partition, messages: Sequence[Message]) -> None:
        """Take messages of one partition in hand, in offset order."""
        if not part.open or self._stopping:
            return  # Lost while it was on its way: it is delivered again to the new owner.
        ready, batch, ordered = self._ready, self.stream.batch, self.stream.order == "key"
        try:
            for some in part.sort_out(messages):
                units = self._carried.units(part, some, batch=batch, ordered=ordered)
                may_start = [unit for unit in units if part.add(unit)]
                if part.held:
                    may_start = [unit for unit in may_start if not self._outcomes.is_to_wait(unit)]
                ready.units += may_start
            if part.held:
                self._outcomes.room.make(part)
        except Exception:  # noqa: BLE001 - as every exception here: the agent that feeds must not see it
            # Were these just missing, later ones would be committed past them.
            self._log.critical("events could not be taken in hand", partition=part.number, exc_info=True)
            part.close()
            self.wind_up()
        ready.wake()

    async def _serve(self, slot: Slot) -> None:
        ready, units, alone = self._ready, self._ready.units, self._alone
        handled = 0
        while True:
            while not units or alone.wanted:
                if self._recorder is not None:
                    self._recorder.clear(slot.place)
                await ready.wait()
            unit = units.popleft()
            if self._stopping or not unit.part.open:
                continue
            if not await (self._try(slot, unit) if not unit.deaths else self._try_suspect(slot, unit)):
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
        if self._recorder is not None:
            self._recorder.note(slot.place, unit)
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
            self.wind_up()
        if not part.alive:
            part.running -= 1
        elif error is not None:
            self._outcomes.fail(unit, as_failure(error))
        elif outputs:
            await self._outcomes.publish(unit, events, outputs)
        else:
            self._outcomes.done(unit)
        return True

    async def _try_suspect(self, slot: Slot, unit: Unit) -> bool:
        """Try a unit that was in work when an earlier process died (`suspicion`)."""
        if unit.deaths >= MOST_DEATHS:
            unit.part.running += 1
            self._outcomes.bury(unit, died_of(unit), unit.deaths)
            return True
        if unit.deaths < ALONE_FROM_DEATHS:
            return await self._try(slot, unit)
        async with self._alone():
            if self._stopping or not unit.part.open:
                return True
            self._log.warning("was in work when its worker died, runs alone", deaths=unit.deaths, **facts_of(unit))
            return await self._try(slot, unit)

    def _after_cancellation(self, slot: Slot, unit: Unit, error: BaseException | None) -> None:
        """Settle the unit of a handler that was told to stop, whatever it made of that, and replace its slot."""
        if isinstance(error, StuckHandler):
            self.wind_up()
        if slot.left:
            return  # The watch has done all this.
        self._replace(slot)
        if self._stopped or not unit.part.alive:
            unit.part.running -= 1
        elif slot.overdue_since:
            late = HandlerTimeout(f"The handler ran longer than {self.stream.timeout:g} s and was stopped.")
            late.__cause__ = error
            self._outcomes.fail(unit, late)
        else:
            self._outcomes.fail(unit, HandlerCancelled("The handler cancelled the task it ran in."))

    def _replace(self, slot: Slot) -> None:
        self.slots.remove(slot)
        if self._recorder is not None:
            self._recorder.give_back(slot.place)
        # However its task ends, as cancelled for instance: it is settled.
        slot.task.remove_done_callback(self._on_task_end)
        if not self._stopped:
            self._open_slot()

    async def _examine(self, unit: Unit) -> None:
        """Decode with the registry's help; what can't be decoded becomes a dead letter, the rest is tried."""
        for index, message in enumerate(unit.messages):
            try:
                await self._decoding.examine(message)
            except RegistryError as away:
                self._outcomes.hold(unit, "schema can't be fetched, the event waits", away)
                return
            except DecodeError as error:
                if unit.count > 1:
                    self._log.warning("batch holds bytes that can't be decoded", index=index, **facts_of(unit))
                    self._outcomes.one_by_one(unit)
                else:
                    self._outcomes.bury(unit, error, 0)
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
                self.wind_up()
                self._replace(slot)
                self._tasks.add(slot.task)
                slot.task.add_done_callback(self._tasks.discard)
                self._outcomes.fail(
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
            self._outcomes.waiting.drop(part)
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
        self._outcomes.waiting.drop_all()
        for part in self.parts.values():
            # An output that still waits would be told as a failure when it is given up.
            part.lose()
        if tasks := [*(slot.task for slot in self.slots), *self._tasks]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)
        self._invoke.stop()
