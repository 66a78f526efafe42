"""Publisher: for threads."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tidemill.codec import Codec
from tidemill.contracts.contract import Payload
from tidemill.errors import NotDelivered, TidemillError
from tidemill.event import Event
from tidemill.publisher.core import ProducerCore
from tidemill.publisher.preparing import UserHeaders, preparer_for
from tidemill.publisher.receipt import Delivered

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.jobs import Jobs, JobStatus


class Receipt:
    """What `Publisher.publish` returns: the event's id at once, the acknowledgement when asked for."""

    __slots__ = ("_core", "_delivered", "_error", "_settled", "id")

    def __init__(self, event_id: str, core: ProducerCore) -> None:
        self.id = event_id
        self._core = core
        self._settled = core.settled
        self._delivered: Delivered | None = None
        self._error: TidemillError | None = None

    def __repr__(self) -> str:
        state = self._error or self._delivered or "waiting"
        return f"Receipt({self.id!r}, {state})"

    @property
    def done(self) -> bool:
        """Whether the broker's answer is there."""
        return self._delivered is not None or self._error is not None

    def result(self, timeout: float | None = None) -> Delivered:
        """Wait for the broker's acknowledgement.

        Args:
            timeout: Seconds to wait at most; None waits until it is acknowledged or has failed
                (`delivery_timeout_seconds`).

        Returns:
            Topic, partition and offset.

        Raises:
            NotDelivered: Not acknowledged, in this time or for good.
            BrokerUnreachable: No broker answers.
            UnknownTopic, EventTooLarge, NotAuthorized, BrokerError: The broker refused it.
        """
        if not self.done:
            if self._settled is not self._core.settled:
                raise NotDelivered(
                    f"Event {self.id} was published before this process was forked; its parent is told of it.",
                    hint="Ask the receipt in the process that published.",
                )
            core = self._core
            with self._settled:
                core.waiters += 1
                try:
                    self._settled.wait_for(lambda: self.done, timeout)
                finally:
                    core.waiters -= 1
        if self._error is not None:
            raise self._error
        if self._delivered is None:
            raise self._core.waiting_error(self.id, timeout or 0.0)
        return self._delivered

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None:
            self._error = self._core.error_for(error, message)
        else:
            self._core.down = None
            self._delivered = Delivered(message.topic(), message.partition(), message.offset())
        # A waiter counts itself before it looks whether the answer is there: either it sees it, or it is seen here.
        if self._core.waiters:
            with self._settled:
                self._settled.notify_all()


class Publisher:
    """Publishes events; thread-safe, one per program.

    As a context manager it is closed, and so everything delivered or an error raised, at the end of the block:

        with Publisher() as publisher:
            receipt = publisher.publish(ImageRequested(source="file:///photos/1.jpg", renditions=[...]))
            print(receipt.id, receipt.result(timeout=10))

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

    def publish(
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
    ) -> Receipt:
        """Publish one event; returns as soon as it is in the local buffer.

        With `delay` or `at` it waits in Kafka until it is due; then the scheduler writes it to its topic. The
        receipt is for the place where it waits. Published again with the same id before that, the last one counts.

        Args:
            event: An instance of a generated event class.
            key: Events of one key keep their order; None takes the field that the contract names.
            subject: What the event is about (CloudEvents `subject`).
            cause: The event that led to this one; passes on its job and its trace.
            headers: Further headers; names that start with ce_ or tm_ are the envelope's.
            id: Id to use, so that publishing again is the same event; None makes a UUIDv7.
            delay: How long from now it is due; at most ten years.
            at: When it is due, with a time zone; in the past means at once.

        Returns:
            The receipt: `receipt.id` at once, `receipt.result(timeout)` for the acknowledgement.

        Raises:
            ContractError: A key, id, header, delay or time that can't be used.
            InvalidEvent: A field holds what the schema doesn't allow.
            EventTooLarge: Larger than `max_event_bytes`.
            BufferFull: The buffer stayed full for `buffer_wait_seconds`.
            SchemaNotRegistered, RegistryError: The first event of a class, if its schema can't be looked up.
            PublisherClosed: After `close`.
        """
        message = self._preparer.prepare(
            event, key=key, subject=subject, cause=cause, headers=headers, event_id=id, delay=delay, at=at
        )
        receipt = Receipt(message.id, self._core)
        if not self._core.produce(message, receipt._on_delivery):
            deadline = time.monotonic() + self._settings.buffer_wait_seconds
            while not self._core.produce(message, receipt._on_delivery):
                if time.monotonic() >= deadline:
                    raise self._core.buffer_full()
                self._core.producer.poll(0.05)
        return receipt

    def status(self, job_id: str) -> JobStatus | None:
        """Where a job is, as `tidemill tracker` has heard; the job's id is that of the event that it began with.

        Returns:
            Its state, progress, results and failures; None where nothing is known of it (yet).

        Raises:
            ConfigError: The extra `status` isn't installed, or `status_url` can't be used.
            StatusUnavailable: There is no table of jobs, or its database doesn't answer.
        """
        return self._reading().status(job_id)

    def wait(self, job_id: str, timeout: float | None = None) -> JobStatus:
        """Wait until a job is done.

        Args:
            job_id: The id of the event that it began with: `receipt.id`.
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            Its status; `result` is the payload of what came of it.

        Raises:
            JobFailed, JobCancelled: It ended so; says why.
            JobUnfinished: Not in this time; also a TimeoutError.
            ConfigError, StatusUnavailable: As `status`.
        """
        return self._reading().wait(job_id, timeout)

    def _reading(self) -> Jobs:
        if self._jobs is None:
            # A service that only publishes needs no database.
            from tidemill.jobs import Jobs

            self._jobs = Jobs(self._settings)
        return self._jobs

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything published so far is acknowledged.

        Args:
            timeout: Seconds; None waits until each event is acknowledged or has failed (`delivery_timeout_seconds`).

        Raises:
            NotDelivered: Anything published since the last flush was not delivered; says how many and why.
            BrokerUnreachable: No broker answers.
        """
        self._core.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush and stop. Calling it again does nothing. Raises as `flush` does."""
        try:
            self._core.close(timeout)
        finally:
            if self._registry is not None:
                self._registry.close()
            if self._jobs is not None:
                self._jobs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except TidemillError as lost:
            # The block's own error goes on; what was not delivered must be told with it.
            error.add_note(f"While closing the publisher: {lost}")
