"""How a receiver may not take a notice, as errors of effects: whatever is raised has not happened, and may be tried.

Messages are for people, and go into events and dead letters: they must hold no secrets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tidemill.errors import HandlerError
from tidemill.events import NotificationTry

MOST_WAIT_SECONDS = 4 * 3600.0
"""A receiver may put us off for so long at a time."""


class Refused(HandlerError):
    """A receiver doesn't take a notice, and asking again wouldn't help.

    Args:
        message: Why, for a person; holds no secrets.
    """


class Gone(Refused):
    """An address is no more: a subscription that was given up, a webhook that wants nothing any longer."""


class Expired(HandlerError):
    """What was to be said is of no use any more."""


class NotNow(HandlerError):
    """A receiver didn't take a notice, and may later.

    Args:
        message: Why, for a person; holds no secrets.
        after_seconds: When it wants to be asked again, if it says so.
    """

    retriable = True

    def __init__(self, message: str, *, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class NotReached(HandlerError):
    """No channel of a recipient works now, and one may later.

    Args:
        message: What each said; holds no secrets.
        tried: The same, for `notification.sent`.
        after_seconds: When one of them wants to be asked again, if it says so.
    """

    retriable = True

    def __init__(self, message: str, tried: list[NotificationTry], *, after_seconds: float | None) -> None:
        super().__init__(message)
        self.tried = tried
        self.after_seconds = after_seconds


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """How long a `Retry-After` asks to wait (RFC 9110, 10.2.3): seconds, or a date.

    Args:
        value: The header's; None where there is none.
        now: This moment.

    Returns:
        Seconds, at most `MOST_WAIT_SECONDS`; None where it says nothing that can be understood.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Before it is a number: thousands of digits would take their time.
        return MOST_WAIT_SECONDS if len(text) > 6 else min(float(text), MOST_WAIT_SECONDS)
    try:
        then = parsedate_to_datetime(text[:100])
    except (ValueError, TypeError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return min(max(0.0, (then - now).total_seconds()), MOST_WAIT_SECONDS)
