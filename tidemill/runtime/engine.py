"""The engine: runs a stream's handler over what is fed to it.

A unit is tried in one of a fixed number of slots. What becomes of it is up to `outcomes`, unless it is dropped because
its partition was lost or the worker stops. No exception leaves this module, whatever a handler does.

All methods run on the event loop. The invariants are numbered in docs/invariants.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from tidemill.errors import DecodeError, RegistryError, TidemillError
from tidemill.runtime.carried import Carried
from tidemill.runtime.decoding import Decoding
from tidemill.runtime.executors import StuckHandler
from tidemill.runtime.facts import facts_of
from tidemill.runtime.failure import as_failure
from tidemill.runtime.farewell import Farewells
from tidemill.runtime.finished import Ahead
from tidemill.runtime.hearing import Hearing
from tidemill.runtime.outcomes import Outcomes, Waits
from tidemill.runtime.partition import Partition, Unit
from tidemill.runtime.ready import Ready
from tidemill.runtime.recorder import ALONE_FROM_DEATHS, MOST_DEATHS
from tidemill.runtime.redrive import sort_out
from tidemill.runtime.slots import Slots
from tidemill.runtime.suspicion import Alone, Suspicion, died_of
from tidemill.runtime.tasks import Tasks
from tidemill.runtime.teller import Teller
from tidemill.runtime.work import Output, as_outputs
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.codec import Codec
    from tidemill.event import Message
    from tidemill.runtime.cancels import Cancels
    from tidemill.runtime.invoke import Invoke
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.recall import Recall
    from tidemill.runtime.recorder import StreamRecorder
    from tidemill.runtime.slot import Slot
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
        cancels: The cancelled jobs, for a stream that heeds them; shared by the engines of a process.
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
        cancels: Cancels | None = None,
    ) -> None:
        self.stream = stream
        self.parts: dict[tuple[str, int], Partition] = {}
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
        self._tracked = stream.tracked
        self._cancels = cancels if stream.cancellable else None
        self._ready = Ready()
        self._stopping = False
        self._log = get_logger("stream").bind(stream=stream.name)
        self._tasks = Tasks(self.wind_up, self._log)
        self._teller = Teller(stream, outputs.offers.offer)
        self._outcomes = Outcomes(
            stream,
            waits,
            outputs,
            self._teller,
            self._cancels,
            self._ready,
            self._tasks.spawn,
            self.wind_up,
            self._recorder,
            recall,
            Farewells(stream, self._decoding, outputs, self._log),
            self._log,
        )
        self._slots = Slots(
            stream, self._serve, self._tasks, self._outcomes, self._teller, self.wind_up, self._recorder
        )
        invoke.listener = Hearing(self._slots, self._teller, self._log)

    def start(self, concurrency: int) -> None:
        """Open so many slots."""
        for _ in range(concurrency):
            self._slots.open()

    def wind_up(self, fault: TidemillError | None = None) -> None:
        """This process can't go on: start nothing more, let the rest finish, be replaced."""
        self.fault = self.fault or fault
        self._stopping = True
        self.recycle.set()

    @property
    def slots(self) -> list[Slot]:
        """Where its handlers run."""
        return self._slots.all

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
        return self.stream.executor != "process" and any(slot.unit is not None for slot in self._slots.all)

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
        name = self.stream.name
        try:
            for some in chain.from_iterable(sort_out(part, run, name) for run in part.sort_out(messages)):
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
        if self._cancels and (why := self._cancels.why(unit)) is not None:
            self._begin_not(unit, why)
            return True
        events = self._decoding.at_once(unit.messages)
        if events is None:
            await self._examine(unit)
            return True
        unit.attempt += 1
        work = None
        if self._invoke.wants_work:
            slot.work = work = self._invoke.work(unit.attempt)
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
            self._slots.settle_stopped(slot, unit, error)
            return False
        if isinstance(error, StuckHandler):
            self.wind_up()
        if not part.alive:
            part.running -= 1
        elif error is not None:
            self._outcomes.fail(unit, as_failure(error))
        else:
            if unit.told or unit.attempt > 1 or self._tracked:
                outputs = self._teller.ended(unit, events, outputs or [])
            if outputs:
                await self._outcomes.publish(unit, events, outputs)
            else:
                self._outcomes.done(unit)
        return True

    def _begin_not(self, unit: Unit, why: str) -> None:
        if unit.count > 1:
            # Not all of a batch need be of that job.
            self._outcomes.one_by_one(unit)
        else:
            self._outcomes.cancel(unit, why)

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
        """As `Slots.look`."""
        self._slots.look(now, grace_seconds)

    def cancel(self) -> None:
        """More jobs were cancelled: give up what waits of them and, where that can be, what runs."""
        if self._cancels is not None:
            cancels = self._cancels
            self._slots.cancel(cancels)
            self._outcomes.waiting.wake(lambda unit: cancels.why(unit) is not None)

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
            self._slots.lose(part)

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
        self._stopping = True
        self._outcomes.waiting.drop_all()
        for part in self.parts.values():
            # An output that still waits would be told as a failure when it is given up.
            part.lose()
        if tasks := [*self._slots.stop(), *self._tasks.stop()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)
        self._invoke.stop()
