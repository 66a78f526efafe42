"""AsyncPublisher: for asyncio. The delivery thread hands reports to the event loop in batches, one wake-up for many."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tidemill.codec import Codec
from tidemill.contracts.contract import Payload
from tidemill.errors import PublishError, TidemillError
from tidemill.event import Event
from tidemill.publisher.core import ProducerCore
from tidemill.publisher.preparing import Outgoing, UserHeaders, preparer_for
from tidemill.publisher.receipt import Delivered

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from tidemill.config import Settings
    from tidemill.jobs import Jobs, JobStatus

MOST_REPORTS = 1_000
"""Answers of the broker that wait for the loop before `send` lets it take its turn."""

logger = logging.getLogger("tidemill.publisher")


class AsyncReceipt:
    """What `await AsyncPublisher.publish(...)` returns: the event's id at once; await it for the acknowledgement."""

    __slots__ = ("_callback", "_core", "_delivered", "_error", "_waiters", "id")

    def __init__(
        self, event_id: str, core: ProducerCore, callback: Callable[[AsyncReceipt], None] | None = None
    ) -> None:
        self.id = event_id
        self._core = core
        self._callback = callback
        self._delivered: Delivered | None = None
        self._error: TidemillError | None = None
        self._waiters: list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        return f"AsyncReceipt({self.id!r}, {self._error or self._delivered or 'waiting'})"

    @property
    def done(self) -> bool:
        """Whether the broker's answer is there."""
        return self._delivered is not None or self._error is not None

    @property
    def delivered(self) -> Delivered | None:
        """Where the event lies, once it is acknowledged."""
        return self._delivered

    @property
    def error(self) -> TidemillError | None:
        """Why it failed, if it has."""
        return self._error

    def __await__(self) -> Generator[Any, None, Delivered]:
        return self._wait().__await__()

    async def result(self, timeout: float | None = None) -> Delivered:
        """Wait for the acknowledgement, at most so many seconds; answers and raises as `Receipt.result`."""
        try:
            return await asyncio.wait_for(self._wait(), timeout)
        except TimeoutError:
            raise self._core.waiting_error(self.id, timeout or 0.0) from None

    async def _wait(self) -> Delivered:
        if not self.done:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            await waiter
        if self._error is not None:
            raise self._error
        assert self._delivered is not None
        return self._delivered

    def _settle(self, delivered: Delivered | None, error: TidemillError | None) -> None:
        self._delivered, self._error = delivered, error
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if self._callback is not None:
            self._callback(self)


class AsyncPublisher:
    """Publishes events from one event loop; the same checks and promises as `Publisher`.

        async with AsyncPublisher() as publisher:
            receipt = await publisher.publish(ImageRequested(...))
            delivered = await receipt

    Args:
        settings: Default: from the environment (`load_settings`).
        codec: Default: one over the registry of the settings.
        kafka: librdkafka settings that win over ours.
    """

    _core_type: ClassVar[type[ProducerCore]] = ProducerCore

    def __init__(
        self, settings: Settings | None = None, *, codec: Codec | None = None, kafka: dict[str, Any] | None = None
    ) -> None:
        self._preparer, self._registry = preparer_for(settings, codec)
        self._settings = self._preparer.settings
        self._core = self._core_type(self._settings, kafka)
        self._jobs: Jobs | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reports: deque[tuple[AsyncReceipt, TidemillError | None, Any]] = deque()
        self._woken = False
        self._room = asyncio.Event()
        self._preparing: dict[type, asyncio.Task[object]] = {}

    def open(self) -> None:
        """Connect now, so that the first event doesn't wait for it; otherwise the first event connects."""
        self._core.open()

    async def publish(
        self,
        event: Payload,
        *,
        key: str | bytes | None = None,
        subject: str | None = None,
        cause: Event[Any] | None = None,
        headers: UserHeaders | None = None,
        id: str | None = None,
        delay: timedelta | None = None,
        at: datetime | None = None,
    ) -> AsyncReceipt:
        """Publish one event; returns once it is in the local buffer. Arguments and errors as `Publisher.publish`."""
        await self.ready_for(type(event))
        message = self._preparer.prepare(
            event, key=key, subject=subject, cause=cause, headers=headers, event_id=id, delay=delay, at=at
        )
        return await self.send(message)

    async def ready_for(self, cls: type[Payload]) -> None:
        """Have what events of a class are encoded with; only the first asks the registry, without holding up the loop.

        Raises:
            SchemaNotRegistered, RegistryError: The registry doesn't know its schema, or doesn't answer.
        """
        if self._preparer.codec.is_prepared(cls) or not hasattr(cls, "__contract__"):
            return  # What has no contract is refused when it is prepared.
        # Asked once, however many are published at the same time.
        preparing = self._preparing.get(cls)
        if preparing is None:
            preparing = asyncio.create_task(asyncio.to_thread(self._preparer.codec.prepare, cls))
            self._preparing[cls] = preparing
            preparing.add_done_callback(lambda done: self._prepared(cls, done))
        # Shielded: one caller that is cancelled must not take the answer from the others.
        await asyncio.shield(preparing)

    def _prepared(self, cls: type[Payload], done: asyncio.Task[object]) -> None:
        del self._preparing[cls]
        if not done.cancelled():
            done.exception()  # looked at, so that asyncio doesn't warn where every caller was cancelled

    async def send(self, message: Outgoing, callback: Callable[[AsyncReceipt], None] | None = None) -> AsyncReceipt:
        """Produce a message that is already encoded; raises BufferFull, PublisherClosed or what the broker refuses.

        Args:
            message: The message.
            callback: Called on the loop with the receipt when it is settled, without a task of its own.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise PublishError(
                "This AsyncPublisher belongs to another event loop, the one of its first event.",
                hint="Make one in each event loop, or use Publisher.",
            )
        if len(self._reports) >= MOST_REPORTS:
            # Publishing doesn't wait by itself: a coroutine that only publishes would keep the loop from all others,
            # and from settling receipts, which would pile up. Before producing: cancelled here, nothing was published.
            await asyncio.sleep(0)
        receipt = AsyncReceipt(message.id, self._core, callback)

        def on_delivery(error: KafkaError | None, delivered: Any) -> None:
            self._report(receipt, error, delivered)

        if not self._core.produce(message, on_delivery):
            deadline = time.monotonic() + self._settings.buffer_wait_seconds
            while not self._core.produce(message, on_delivery):
                if time.monotonic() >= deadline:
                    raise self._core.buffer_full()
                self._room.clear()
                try:
                    await asyncio.wait_for(self._room.wait(), 0.1)
                except TimeoutError:
                    continue
        return receipt

    def _report(self, receipt: AsyncReceipt, error: KafkaError | None, message: Any) -> None:
        # In whichever thread librdkafka serves the report. The flag is cleared before the queue is read, so a report
        # either finds it cleared and wakes the loop, or is read by the wake-up that is already under way.
        # A failure is counted here, so that a flush() which waits for it in another thread can't miss it.
        self._reports.append((receipt, None if error is None else self._core.error_for(error, message), message))
        if not self._woken:
            self._woken = True
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:
                # The loop is closed: nobody can wait for these receipts; failures still count for close().
                self._settle()

    def _settle(self) -> None:
        self._woken = False
        self._room.set()
        reports, core = self._reports, self._core
        while reports:
            receipt, error, message = reports.popleft()
            try:
                if error is not None:
                    receipt._settle(None, error)
                else:
                    core.down = None
                    receipt._settle(Delivered(message.topic(), message.partition(), message.offset()), None)
            except Exception:
                # A callback's fault must not keep the other receipts from being settled.
                logger.exception("the callback of event %s failed", receipt.id)

    async def status(self, job_id: str) -> JobStatus | None:
        """Where a job is; answers and raises as `Publisher.status`."""
        return await asyncio.to_thread(self._reading().status, job_id)

    async def wait(self, job_id: str, timeout: float | None = None) -> JobStatus:
        """Wait until a job is done; answers and raises as `Publisher.wait`."""
        return await self._reading().wait_async(job_id, timeout)

    def _reading(self) -> Jobs:
        if self._jobs is None:
            # A service that only publishes needs no database.
            from tidemill.jobs import Jobs

            self._jobs = Jobs(self._settings)
        return self._jobs

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything published so far is acknowledged; raises as `Publisher.flush`."""
        try:
            await asyncio.to_thread(self._core.flush, timeout)
        finally:
            # Reports that the delivery thread has queued are settled before flush() returns.
            await asyncio.sleep(0)

    async def close(self, timeout: float | None = None) -> None:
        """Flush and stop. Calling it again does nothing. Raises as `flush` does."""
        try:
            await asyncio.to_thread(self._core.close, timeout)
        finally:
            if self._registry is not None:
                self._registry.close()
            if self._jobs is not None:
                self._jobs.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close()
        except TidemillError as lost:
            error.add_note(f"While closing the publisher: {lost}")
