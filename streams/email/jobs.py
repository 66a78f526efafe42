"""Mails through the stream and back: publish, wait for the outcome. What `tidemill email send` and others run on."""

from __future__ import annotations

from tidemill.codec import Codec
from tidemill.events import EmailRequested, EmailSent
from tidemill.publisher import Publisher
from tidemill.requesting import Requested, Requesting, topics_of
from tidemill.tail import Tail

EmailJob = Requested[EmailRequested, EmailSent]
"""One mail on its way."""


class EmailJobs(Requesting[EmailJob]):
    """Publishes requests and collects their outcomes.

    Args:
        publisher: Publishes the requests.
        codec: Decodes the results.
        tail: Opened on `TOPICS` before anything is published.
    """

    TOPICS = topics_of(EmailRequested, EmailSent)

    def __init__(self, publisher: Publisher, codec: Codec, tail: Tail) -> None:
        super().__init__(tail, codec, EmailRequested, EmailSent)
        self._publisher = publisher

    def submit(self, request: EmailRequested, *, id: str | None = None) -> EmailJob:
        """Ask for a mail.

        Args:
            request: What is asked for.
            id: The event's; one that was sent before sends nothing.

        Returns:
            The job, which `outcomes` completes.
        """
        receipt = self._publisher.publish(request, id=id)
        return self.watch(EmailJob(request=request, id=receipt.id))
