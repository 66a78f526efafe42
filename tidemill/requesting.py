"""Wait for what becomes of published requests: the result or the dead letter of each, and on the way how far it is.

A request is known by its event's id: the result names it as its cause, a dead letter carries it as its own. Relies on a
`Tail` that was opened on `topics_of` before anything was published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tidemill.codec import Codec
from tidemill.contracts.contract import Payload
from tidemill.event import Event
from tidemill.events import JobProgress
from tidemill.runtime import deadletter
from tidemill.tail import Tail

if TYPE_CHECKING:
    from confluent_kafka import Message

Q = TypeVar("Q", bound=Payload)
R = TypeVar("R", bound=Payload)


@dataclass(kw_only=True)
class Requested(Generic[Q, R]):
    """One request on its way.

    Attributes:
        request: The event's payload.
        id: The event's id.
        seconds: From its publication to its outcome; None while there is none.
        result: What came of it.
        failure: Why nothing came of it.
        progress: How far it was when it last said so.
    """

    request: Q
    id: str
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    result: R | None = None
    failure: str | None = None
    progress: JobProgress | None = None


J = TypeVar("J", bound=Requested[Any, Any])


class Requesting(Generic[J]):
    """Collects the outcomes of requests of one type.

        with Tail(settings, topics_of(ImageRequested, ImageProcessed)) as tail:
            requesting = Requesting(tail, codec, ImageRequested, ImageProcessed)
            requesting.watch(Requested(request=request, id=publisher.publish(request).id))
            for job in requesting.outcomes(60.0): ...

    Args:
        tail: Opened on `topics_of(request, result)` before anything is published.
        codec: Decodes the results.
        request, result: The classes of the events.
    """

    def __init__(self, tail: Tail, codec: Codec, request: type[Payload], result: type[Payload]) -> None:
        self._tail = tail
        self._codec = codec
        self._request = request
        self._result = result
        self.jobs: dict[str, J] = {}

    def watch(self, job: J) -> J:
        """Wait for this one, too; returns it."""
        self.jobs[job.id] = job
        return job

    @property
    def waiting(self) -> list[J]:
        """Those without an outcome."""
        return [job for job in self.jobs.values() if job.seconds is None]

    def outcomes(self, timeout_seconds: float, on_progress: Callable[[J], None] = lambda _: None) -> Iterator[J]:
        """Requests as they come through, until all are or so long nothing was heard of any.

        Args:
            timeout_seconds: Longest wait for the next sign of one.
            on_progress: Called with each that says how far it is.
        """
        last = time.monotonic()
        while self.waiting and time.monotonic() - last < timeout_seconds:
            for message in self._tail.read(0.5):
                job = self._of(message)
                if job is None:
                    continue
                last = time.monotonic()
                if job.seconds is None:
                    on_progress(job)
                else:
                    yield job

    def _of(self, message: Message) -> J | None:
        """The request that a message is about, brought up to date; None if it says nothing new of any."""
        event: Event[Any] = Event.received(None, message)
        topic = message.topic() or ""
        dead = topic.endswith(self._request.__contract__.dead_topic)
        progress = None
        if not dead and topic.endswith(JobProgress.__contract__.topic):
            progress = self._codec.decode(message.value(), JobProgress)
        job = self.jobs.get(progress.event if progress else event.id if dead else event.cause or "")
        if job is None or job.seconds is not None:
            return None  # Somebody else's, or an event that ran twice.
        if progress is not None:
            job.progress = progress
            if progress.state != "cancelled":
                return job
            job.failure = f"cancelled: {progress.error or 'no reason was given'}"
        elif dead:
            reason = dict(event.raw_headers).get(deadletter.MESSAGE) or b""
            job.failure = reason.decode("utf-8", "replace") or "dead letter without a reason"
        else:
            job.result = self._codec.decode(message.value(), self._result)
        job.seconds = time.monotonic() - job.started
        return job


def topics_of(request: type[Payload], result: type[Payload], *, progress: bool = False) -> tuple[str, ...]:
    """The topics to open a `Tail` on, without the namespace.

    Args:
        request, result: The classes of the events.
        progress: Whether to hear how far they are, too.
    """
    topics = (result.__contract__.topic, request.__contract__.dead_topic)
    return (*topics, JobProgress.__contract__.topic) if progress else topics
