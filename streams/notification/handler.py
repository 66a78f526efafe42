"""The handlers of the notification stream: `notification.requested` in, messages to somebody's devices, outcomes out.

Two streams, which share a database and nothing else: `notification` takes notices in and sends those that go at once,
`notification_due` lets go what has waited. Notices of one recipient follow on each other.
"""

from __future__ import annotations

import asyncio

from streams.notification.notifier import Notifier
from streams.notification.settings import load_notification_settings
from streams.notification.waiting import Leaving, Waiting
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.events import EmailRequested, NotificationDue, NotificationRequested, NotificationSent
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output, Work

RETRY = Retry(attempts=6, first=1.0, factor=4.0, most=600.0)
"""For what nobody has thought of. Receivers that don't answer are tried again by the clock (`retrying.py`), so that
neither a worker nor the recipient's next notices wait for them here."""

Outputs = list[Output | NotificationSent | EmailRequested | NotificationDue]

_notifier: tuple[asyncio.AbstractEventLoop, Notifier] | None = None


@stream("notification.requested", concurrency=64, timeout=180.0, retry=RETRY)
async def notification(
    event: Event[NotificationRequested], work: Work
) -> list[Output | NotificationSent | EmailRequested | NotificationDue]:
    """Take one notice in, and send it unless it is to wait."""
    return await take_in(event, work)


@stream("notification.due", name="notification_due", concurrency=64, timeout=180.0, retry=RETRY)
async def notification_due(
    event: Event[NotificationDue], work: Work
) -> list[Output | NotificationSent | EmailRequested | NotificationDue]:
    """Send what has waited for this moment."""
    return await let_go(event, work)


async def take_in(event: Event[NotificationRequested], work: Work) -> Outputs:
    """Take a notice in within a stream's try.

    Args:
        event: The request.
        work: The try.
    """
    notifier = notifier_of(work.settings)
    recipient = event.payload.recipient
    accepted = await notifier.accept(event)
    outputs: Outputs = [
        NotificationSent(recipient=recipient, notices=[id], outcome="replaced", replaced_by=event.id)
        for id in accepted.replaced
    ]
    if accepted.now is not None:
        outputs += await _send(notifier, recipient, accepted.now, work)
    if accepted.later is not None:
        outputs += _put_off(recipient, [event.id], accepted.later)
    return outputs


async def let_go(event: Event[NotificationDue], work: Work) -> Outputs:
    """Send what a delivery holds within a stream's try.

    Args:
        event: Its wake-up.
        work: The try.
    """
    notifier = notifier_of(work.settings)
    recipient = event.payload.recipient
    found = await notifier.close(event)
    if found is None:
        return []
    if isinstance(found, Waiting):
        return _put_off(recipient, [found.delivery], found)[1:]
    return await _send(notifier, recipient, found, work)


async def _send(notifier: Notifier, recipient: str, leaving: Leaving, work: Work) -> Outputs:
    told, mails, waiting = await notifier.send(recipient, leaving, work.once)
    return [*told, *mails, *(_wake(recipient, waiting) if waiting is not None else ())]


def _put_off(recipient: str, notices: list[str], waiting: Waiting) -> Outputs:
    outputs: Outputs = [
        NotificationSent(
            recipient=recipient, notices=notices, outcome="waiting", waits_for=waiting.waits_for, until=waiting.until
        )
    ]
    return [*outputs, *_wake(recipient, waiting)] if waiting.wakes else outputs


def _wake(recipient: str, waiting: Waiting) -> Outputs:
    return [Output(NotificationDue(recipient=recipient, delivery=waiting.delivery), at=waiting.until)]


def notifier_of(settings: Settings) -> Notifier:
    """The notifier of this process, or rather of its event loop; made when the first notice comes.

    Raises:
        ConfigError: The stream's settings can't be used.
    """
    global _notifier
    loop = asyncio.get_running_loop()
    if _notifier is None or _notifier[0] is not loop:
        _notifier = (loop, Notifier(load_notification_settings(), settings))
    return _notifier[1]
