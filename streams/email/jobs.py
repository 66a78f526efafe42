"""Mails through the stream and back: publish, wait for the outcome. What `tidemill email send` and others run on.

A job is known by its event's id: the result names it as its cause, a dead letter carries it as its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill.codec import Codec
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.runtime import deadletter
from tidemill.tail import Tail

if TYPE_CHECKING:
    from confluent_kafka import Message


@dataclass
class EmailJob:
    """One mail on its way; `result` or `failure` is set once it is through, `seconds` counts from its publication."""

    request: EmailRequested
    id: str
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    result: EmailSent | None = None
    failure: str | None = None


class EmailJobs:
    """Publishes requests and collects their outcomes.

    Args:
        publisher: Publishes the requests.
        codec: Decodes the results.
        tail: Opened on `TOPICS` before anything is published.
    """

    TOPICS = (EmailSent.__contract__.topic, EmailRequested.__contract__.dead_topic)

    def __init__(self, publisher: Publisher, codec: Codec, tail: Tail) -> None:
        self._publisher = publisher
        self._codec = codec
        self._tail = tail
        self.jobs: dict[str, EmailJob] = {}

    def submit(self, request: EmailRequested, *, id: str | None = None) -> EmailJob:
        """Ask for a mail.

        Args:
            request: What is asked for.
            id: The event's; one that was sent before sends nothing.

        Returns:
            The job, which `outcomes` completes.
        """
        receipt = self._publisher.publish(request, id=id)
        job = self.jobs[receipt.id] = EmailJob(request, receipt.id)
        return job

    @property
    def waiting(self) -> list[EmailJob]:
        """Jobs without an outcome."""
        return [job for job in self.jobs.values() if job.seconds is None]

    def outcomes(self, timeout_seconds: float) -> Iterator[EmailJob]:
        """Jobs as they come through, until all are or so long nothing has come.

        Args:
            timeout_seconds: Longest wait for the next outcome.
        """
        last = time.monotonic()
        while self.waiting and time.monotonic() - last < timeout_seconds:
            for message in self._tail.read(0.5):
                job = self._settle(message)
                if job is not None:
                    last = time.monotonic()
                    yield job

    def _settle(self, message: Message) -> EmailJob | None:
        event = Event.received(None, message)
        dead = (message.topic() or "").endswith(EmailRequested.__contract__.dead_topic)
        job = self.jobs.get(event.id if dead else event.cause or "")
        if job is None or job.seconds is not None:
            return None  # Somebody else's, or an event that ran twice.
        if dead:
            reason = dict(event.raw_headers).get(deadletter.MESSAGE, b"")
            job.failure = reason.decode("utf-8", "replace") or "dead letter without a reason"
        else:
            job.result = self._codec.decode(message.value(), EmailSent)
        job.seconds = time.monotonic() - job.started
        return job
