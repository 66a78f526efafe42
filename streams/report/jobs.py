"""A report through the stream and back: publish, follow its progress, wait for the outcome.

A job is known by its event's id: the result names it as its cause, progress as its event, a dead letter carries it as
its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.codec import Codec
from tidemill.event import Event
from tidemill.events import JobProgress, ReportReady, ReportRequested
from tidemill.publisher import Publisher
from tidemill.runtime import deadletter
from tidemill.tail import Tail

if TYPE_CHECKING:
    from confluent_kafka import Message


@dataclass
class ReportJob:
    """One report on its way; `result` or `failure` is set once it is through, or was given up."""

    id: str
    progress: JobProgress | None = None
    result: ReportReady | None = None
    failure: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.result is not None or self.failure is not None


class ReportJobs:
    """Publishes a request and follows it.

    Args:
        publisher: Publishes the request.
        codec: Decodes what comes back.
        tail: Opened on `TOPICS` before anything is published.
    """

    TOPICS = (
        ReportReady.__contract__.topic,
        ReportRequested.__contract__.dead_topic,
        JobProgress.__contract__.topic,
    )

    def __init__(self, publisher: Publisher, codec: Codec, tail: Tail) -> None:
        self._publisher = publisher
        self._codec = codec
        self._tail = tail

    def submit(self, request: ReportRequested) -> ReportJob:
        """Ask for a report."""
        return ReportJob(self._publisher.publish(request).id)

    def follow(self, job: ReportJob, timeout_seconds: float) -> Iterator[ReportJob]:
        """The job whenever it has got further, until it is over or nothing was heard of it for so long."""
        last = time.monotonic()
        while not job.is_over and time.monotonic() - last < timeout_seconds:
            for message in self._tail.read(0.3):
                if self._apply(job, message):
                    last = time.monotonic()
                    yield job

    def _apply(self, job: ReportJob, message: Message) -> bool:
        event = Event.received(None, message)
        topic = message.topic() or ""
        if topic.endswith(JobProgress.__contract__.topic):
            progress = self._codec.decode(message.value(), JobProgress)
            if progress.event != job.id:
                return False
            job.progress = progress
            if progress.state == "cancelled":
                job.failure = f"cancelled: {progress.error or 'nobody said why'}"
        elif topic.endswith(ReportRequested.__contract__.dead_topic):
            if event.id != job.id:
                return False
            reason = dict(event.raw_headers).get(deadletter.MESSAGE, b"")
            job.failure = reason.decode("utf-8", "replace") or "dead letter without a reason"
        elif event.cause == job.id:
            job.result = self._codec.decode(message.value(), ReportReady)
        else:
            return False
        return True
