"""Who is told of a report, as its request names them: looked at before any work is done."""

from __future__ import annotations

from email.utils import parseaddr

from streams.report.settings import ReportSettings
from tidemill.errors import Reject
from tidemill.events import ReportRequested


def check_tell(request: ReportRequested, settings: ReportSettings) -> None:
    """Refuse a request with too many people in it, before any work is done.

    Raises:
        Reject: It names more than `max_tell`, or one that is no address.
    """
    if len(request.tell) > settings.max_tell:
        raise Reject(f"tell holds {len(request.tell):,} people, at most {settings.max_tell} are told of one report.")
    for person in request.tell:
        if "@" not in parseaddr(person)[1] or not person.isprintable():
            raise Reject(f"tell holds {person[:80]!r}, expected an address such as ada@example.com.")
