"""The e-mail stream with waits that a test can sit out; everything else of it is as it is."""

from __future__ import annotations

from streams.email.handler import send
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work

RETRY = Retry(attempts=40, first=0.1, most=0.5)


@stream("email.requested", name="email", order="none", retry=RETRY)
async def quick(event: Event[EmailRequested], work: Work) -> EmailSent:
    """Send the mail that one event asks for."""
    return await send(event, work, RETRY)
