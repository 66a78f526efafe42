"""The handler of the e-mail stream: `email.requested` in, a mail to the relay, `email.sent` out.

Mails go in any order, many at once, and one that a server puts off comes back by the clock: nobody waits for it. Each
worker process has one `Mailer` with its connections.
"""

from __future__ import annotations

import asyncio
from random import Random

from streams.email.mailer import Mailer
from streams.email.settings import load_email_settings
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.store import Store

RETRY = Retry(attempts=18, first=5.0, most=4 * 3600.0)
"""For about a day, as mail servers do (RFC 5321, 4.5.4.1, asks for more; after a day few mails are still wanted)."""

_random = Random()
_mailer: tuple[asyncio.AbstractEventLoop, Mailer] | None = None


@stream("email.requested", order="none", concurrency=64, timeout=900.0, retry=RETRY, room_bytes=32 * 1024**2)
async def email(event: Event[EmailRequested], work: Work) -> EmailSent:
    """Send the mail that one event asks for."""
    return await send(event, work, RETRY)


async def send(event: Event[EmailRequested], work: Work, retry: Retry) -> EmailSent:
    """Send a mail within a stream's try.

    Args:
        event: The request.
        work: The try.
        retry: The stream's policy.
    """
    return await mailer_of(work.settings).send(
        event.payload,
        event_id=event.id,
        time=event.time,
        once=work.once,
        is_last=work.attempt >= retry.attempts,
        usual_wait_seconds=retry.delay_seconds(work.attempt, _random),
    )


def mailer_of(settings: Settings) -> Mailer:
    """The mailer of this process, or rather of its event loop; made when the first mail comes.

    Raises:
        ConfigError: The stream's settings can't be used.
    """
    global _mailer
    loop = asyncio.get_running_loop()
    if _mailer is None or _mailer[0] is not loop:
        _mailer = (loop, Mailer(load_email_settings(settings), Store.from_settings(settings)))
    return _mailer[1]
