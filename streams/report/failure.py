"""What whoever asked for a report is told when it can't be made.

Computes only, and in the worker's own process: imports nothing of what makes reports. An error that is meant for a
person is passed on; what others say may be about our machines, and stays with the dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.report.settings import load_report_settings
from streams.report.tell import check_tell
from tidemill.errors import Reject
from tidemill.event import Event
from tidemill.events import EmailRequested, NotificationRequested, ReportRequested

MOST_NAME_CHARS = 150
MOST_REASON_CHARS = 1_000
OURS = "Something went wrong on our side. Those who look after it see why."


def tell_failure(event: Event[ReportRequested], error: Exception) -> Iterator[EmailRequested | NotificationRequested]:
    """The events that tell that a report won't come: to its user, and by a mail to each who was to get one.

    Args:
        event: The request.
        error: What it failed with.
    """
    request = event.payload
    # Whatever the request says: it may be what it was refused for.
    subject = f"{_line(request.title or request.report)[:MOST_NAME_CHARS]} couldn't be made"
    reason = _line(error.message)[:MOST_REASON_CHARS] if isinstance(error, Reject) else OURS
    if request.user is not None:
        yield NotificationRequested(
            recipient=request.user, title=subject, body=reason, data={"report": _line(request.report)[:100]}
        )
    try:
        check_tell(request, load_report_settings())
    except Reject:
        return  # To such a list nobody writes.
    for person in dict.fromkeys(request.tell):
        yield EmailRequested(
            to=[person], subject=subject, text=f"{reason}\n\nRequest {event.id}\n", locale=request.locale
        )


def _line(text: str) -> str:
    """A text as one line of what can be printed."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
