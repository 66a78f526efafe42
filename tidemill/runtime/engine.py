"""The engine: runs a stream's handler over what is fed to it, and decides what becomes of each outcome.

A unit is tried by one of a fixed number of slots (tasks). It ends in exactly one way: done (outputs acknowledged), to
be tried again, dead letter (acknowledged), or dropped because its partition was lost or the worker stops; only the
first and third count for the offset. Nothing that a handler does reaches the caller: no exception leaves this module.

All methods run on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tidemill.codec import Codec, SchemaNotCached
from tidemill.errors import DecodeError, HandlerCancelled, HandlerError, HandlerTimeout, RegistryError, TidemillError
from tidemill.event import Event, Message
from tidemill.runtime.executors.thread import StuckHandler
from tidemill.runtime.invoke import Invoke
from tidemill.runtime.partition import Partition, Unit
from tidemill.runtime.work import as_outputs
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.publisher import AsyncReceipt
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.stream import Stream

YIELD_EVERY = 64
"""Events that a slot handles before it lets the loop do other things, where its handler never waits."""

HOLD_FIRST_SECONDS = 0.2
HOLD_MOST_SECONDS = 10.0
"""Back-off while the registry is away or a dead letter can't be written; the event is held, however long it takes."""


class Slot:
    """A place where one unit is tried at a time."""

    __slots__ = ("abandoned", "cancelled", "deadline", "lost", "task", "unit")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.unit: Unit | None = None
        """The unit whose handler runs right now."""
        self.deadline = 0.0
        self.cancelled = 0.0
        """When its handler was told to stop for its time limit; 0 if it wasn't."""
        self.lost = False
        """Its handler was told to stop because its partition was lost."""
        self.abandoned = False


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
        """Set when a handler could not be stopped: this process should be replaced."""
        self._codec = codec
        self._outputs = outputs
        self._invoke = invoke
        self._ready: deque[Unit] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = Random()
        self._stopping = False
        self._log = get_logger("stream").bind(stream=stream.name)
        self._on_slot_end = self._slot_ended

    # -- in: what the source feeds ---------------------------------------------------------------

    def start(self, concurrency: int) -> None:
        """Open so many slots."""
        for _ in range(concurrency):
            self.open_slot()

    def open_slot(self) -> None:
        """Open one more slot."""
        slot = Slot()
        slot.task = asyncio.create_task(self._serve(slot), name=f"slot of {self.stream.name}")
        slot.task.add_done_callback(self._on_slot_end)
        self.slots.append(slot)

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            # A fault of this module, not of a handler: its unit stays unfinished, so nothing is committed past it.
            self._log.critical("a slot ended by an error of the runtime", exc_info=task.exception())
            self.recycle.set()

    def partition(self, topic: str, number: int) -> Partition:
        """The partition's present assignment."""
        part = self.parts.get((topic, number))
        if part is None:
            part = self.parts[topic, number] = Partition(topic, number, ordered=self.stream.order == "key")
        return part

    def feed(self, part: Partition, messages: Sequence[Message]) -> None:
        """Take messages of one partition in hand, in offset order."""
        if not part.open or self._stopping:
            return  # Lost while it was on its way: it is delivered again to the new owner.
        ready, stream = self._ready, self.stream
        if stream.batch is None:
            for message in messages:
                unit = Unit(part, (message,), message.key(), (message.offset() or 0) + 1, len(message.value() or b""))
                if part.add(unit):
                    ready.append(unit)
        else:
            key = b"" if stream.order == "key" else None
            for first in range(0, len(messages), stream.batch):
                some = messages[first : first + stream.batch]
                size = sum(len(message.value() or b"") for message in some)
                unit = Unit(part, some, key, (some[-1].offset() or 0) + 1, size)
                if part.add(unit):
                    ready.append(unit)
        self._wake()

    def _wake(self) -> None:
        idle = self._idle
        for _ in range(min(len(idle), len(self._ready))):
            waiter = idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _enqueue(self, unit: Unit) -> None:
        self._ready.append(unit)
        self._wake()

    # -- one try ---------------------------------------------------------------------------------

    async def _serve(self, slot: Slot) -> None:
        ready = self._ready
        loop = asyncio.get_running_loop()
        handled = 0
        while not slot.abandoned:
            while not ready:
                waiter = loop.create_future()
                self._idle.append(waiter)
                await waiter
            unit = ready.popleft()
            if not unit.part.open:
                continue
            await self._try(slot, unit)
            handled += 1
            if handled % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _try(self, slot: Slot, unit: Unit) -> None:
        stream, part = self.stream, unit.part
        part.running += 1
        unit.started = time.monotonic()
        try:
            events = [Event.received(self._codec.decode_cached(m.value(), stream.payload), m) for m in unit.current]
        except (SchemaNotCached, DecodeError):
            # Off the fast path: ask the registry, tell good from bad.
            await self._decode_slowly(unit)
            return
        unit.attempt += 1
        work = self._invoke.work(unit.attempt) if self._invoke.wants_work else None
        error: Exception | None = None
        returned: Any = None
        slot.cancelled, slot.lost = 0.0, False
        slot.deadline = unit.started + stream.timeout if stream.timeout is not None else float("inf")
        slot.unit = unit
        try:
            returned = await self._invoke(events, work)
        except asyncio.CancelledError:
            error = self._why_cancelled(slot)
        except Exception as raised:  # noqa: BLE001 - whatever a handler raises has a policy
            error = raised
        except SystemExit as left:
            error = HandlerError(f"The handler called sys.exit({left.code!r}).", retriable=True)
        else:
            if slot.cancelled:
                # It swallowed the cancellation and came back late: its time was over all the same.
                error = self._timed_out()
        finally:
            slot.unit = None
        if slot.abandoned:
            return  # The watch has settled this unit already.
        if not part.alive:
            part.running -= 1
        elif error is None:
            await self._succeed(unit, events, returned, work)
        else:
            self._fail(unit, error)

    def _why_cancelled(self, slot: Slot) -> Exception:
        task = slot.task
        assert task is not None
        asked = task.cancelling()
        for _ in range(asked):
            task.uncancel()
        if slot.cancelled:
            return self._timed_out()
        if slot.lost:
            return HandlerCancelled("The partition was lost.")
        if asked:
            raise asyncio.CancelledError  # The worker itself stops.
        return HandlerCancelled("The handler raised CancelledError, though nobody had asked it to stop.")

    def _timed_out(self) -> HandlerTimeout:
        return HandlerTimeout(f"The handler ran longer than {self.stream.timeout:g} s and was stopped.")

    async def _succeed(self, unit: Unit, events: list[Event[Any]], returned: Any, work: Any) -> None:
        try:
            outputs = as_outputs(returned, work)
            if outputs:
                await self._outputs.publish(unit, events, outputs, self._acknowledged)
                return
        except Exception as error:  # noqa: BLE001 - an output that can't be published is a failure of its handler
            if unit.pending == 0:
                self._fail(unit, error)
            else:
                unit.error = error  # Told when those already sent are settled.
            return
        self._done(unit)

    def _acknowledged(self, unit: Unit, receipt: AsyncReceipt) -> None:
        unit.pending -= 1
        if receipt.error is not None:
            unit.error = receipt.error
        if unit.pending == 0:
            error, unit.error = unit.error, None
            if not unit.part.alive:
                unit.part.running -= 1
            elif error is None:
                self._done(unit)
            else:
                self._fail(unit, error)

    # -- what becomes of it ----------------------------------------------------------------------

    def _done(self, unit: Unit) -> None:
        if self.stream.log_each:
            self._log.info("done", **self._facts(unit))
        self._settle(unit)

    def _settle(self, unit: Unit) -> None:
        """The messages of this try are through, one way or the other."""
        part = unit.part
        part.running -= 1
        if unit.single is not None and unit.single + 1 < unit.count:
            unit.single += 1
            unit.attempt = 0
            self._enqueue(unit)
            return
        self.finished += unit.count
        following = part.finish(unit)
        if following is not None:
            self._enqueue(following)

    def _fail(self, unit: Unit, error: Exception) -> None:
        if isinstance(error, StuckHandler):
            self.recycle.set()
        if unit.single is None and unit.count > 1:
            self._log.warning("batch failed, trying one by one", **self._facts(unit), error=_brief(error))
            unit.single, unit.attempt = 0, 0
            unit.part.running -= 1
            self._enqueue(unit)
            return
        if self.stream.retry.may_retry(error, unit.attempt):
            delay = self.stream.retry.delay_seconds(unit.attempt, self._random)
            self._log.warning(
                "failed, will try again", **self._facts(unit), error=_brief(error), in_seconds=round(delay, 3)
            )
            self._try_later(unit, delay)
        else:
            self._spawn(self._bury(unit, error, unit.attempt))

    def _try_later(self, unit: Unit, delay_seconds: float) -> None:
        unit.part.running -= 1
        asyncio.get_running_loop().call_later(delay_seconds, self._enqueue, unit)

    async def _bury(self, unit: Unit, error: Exception, attempts: int) -> None:
        """Write the dead letter, however long that takes: without it the event must not count as done."""
        message = unit.current[0]
        delay = HOLD_FIRST_SECONDS
        while True:
            try:
                await self._outputs.bury(message, error, attempts)
                break
            except TidemillError as refused:
                self._log.error(
                    "dead letter can't be written, its partition waits", **self._facts(unit), error=_brief(refused)
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, HOLD_MOST_SECONDS)
            if not unit.part.open:
                unit.part.running -= 1
                return
        self._log.error("dead letter", **self._facts(unit), error=_brief(error))
        if unit.part.alive:
            self._settle(unit)
        else:
            unit.part.running -= 1

    async def _decode_slowly(self, unit: Unit) -> None:
        """Decode with the registry's help; what can't be decoded becomes a dead letter, the rest is tried."""
        for index, message in enumerate(unit.current):
            try:
                await self._decode(message)
            except RegistryError as away:
                self._log.error("schema can't be fetched, the event waits", **self._facts(unit), error=_brief(away))
                unit.holds += 1
                self._try_later(unit, min(HOLD_FIRST_SECONDS * 2 ** min(unit.holds, 6), HOLD_MOST_SECONDS))
                return
            except DecodeError as error:
                if unit.single is None and unit.count > 1:
                    self._log.warning("batch holds bytes that can't be decoded", index=index, **self._facts(unit))
                    unit.single, unit.attempt = 0, 0
                    break
                self._spawn(self._bury(unit, error, 0))
                return
        unit.part.running -= 1
        self._enqueue(unit)

    async def _decode(self, message: Message) -> None:
        try:
            self._codec.decode_cached(message.value(), self.stream.payload)
        except SchemaNotCached as missing:
            await asyncio.to_thread(self._codec.learn, missing.schema_id)
            self._codec.decode_cached(message.value(), self.stream.payload)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._on_slot_end)

    def _facts(self, unit: Unit) -> dict[str, Any]:
        message = unit.current[0]
        facts: dict[str, Any] = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "id": Event.received(None, message).id,
            "attempt": unit.attempt,
            "seconds": round(time.monotonic() - unit.started, 4),
        }
        if unit.single is None and unit.count > 1:
            facts["count"] = unit.count
        return facts

    # -- out: what the watch, the source and the worker ask for ----------------------------------

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
            assert slot.task is not None
            if not slot.cancelled:
                slot.cancelled = now
                slot.task.cancel()
            elif now > slot.cancelled + grace_seconds:
                slot.abandoned = True
                self.slots.remove(slot)
                self.open_slot()
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
                    assert slot.task is not None
                    slot.lost = True
                    slot.task.cancel()

    def committable(self) -> list[Partition]:
        """Partitions with an offset to commit; may be called from another thread."""
        return [part for part in list(self.parts.values()) if part.uncommitted is not None]

    async def drain(self, wait_seconds: float) -> bool:
        """Take no new work and wait for what runs; returns whether all of it is through."""
        self._stopping = True
        self._ready.clear()
        return await self.quiesce(list(self.parts.values()), wait_seconds)

    async def stop(self) -> None:
        """End all slots and what still runs in them; what is not done stays uncommitted."""
        self._stopping = True
        tasks = [slot.task for slot in self.slots if slot.task is not None] + list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        self._invoke.stop()


def _brief(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {error}"[:500]
