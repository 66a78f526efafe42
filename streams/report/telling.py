"""What is told to whom when a report is ready: mails and a notification, as events for the streams that send them.

Computes only. The mail's template is `report-ready` of the e-mail stream's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from email.utils import parseaddr

from streams.report.making import Made
from streams.report.settings import ReportSettings
from streams.report.wording import Wording
from tidemill.events import EmailRequested, NotificationRequested, ReportFile, ReportRequested

TEMPLATE = "report-ready"


def messages(
    request: ReportRequested,
    made: Made,
    files: Sequence[ReportFile],
    *,
    at: datetime,
    seconds: float,
    settings: ReportSettings,
    home: str,
) -> Iterator[EmailRequested | NotificationRequested]:
    """The events that tell of a report: one mail to each person, so that nobody sees who else is told.

    Args:
        request: Names them.
        made: The report.
        files: Its files in the store.
        at: The moment that it was made for.
        seconds: How long it took.
        settings: Where links lead, and how long files are kept.
        home: URI of the store, which links leave out.
    """
    links = [link_to(file.uri, settings, home) for file in files]
    begin, end = _period(made, at)
    context = {
        "report": made.title,
        "from": begin.isoformat(),
        "until": end.isoformat(),
        "rows": made.rows,
        "seconds": round(seconds, 2),
        "files": [
            {"name": file.name, "kilobytes": max(1, round(file.bytes / 1000)), "url": link}
            for file, link in zip(files, links, strict=True)
        ],
        "expires": (at + timedelta(days=settings.keep_days)).date().isoformat(),
    }
    for person in dict.fromkeys(request.tell):
        name, address = parseaddr(person)
        named = {"name": name or address.partition("@")[0], **context}
        yield EmailRequested(
            to=[person], template=TEMPLATE, context=json.dumps(named, ensure_ascii=False), locale=request.locale
        )
    if request.user is not None:
        wording = Wording(request.locale or made.report.definition.locale, made.report.definition.zone)
        yield NotificationRequested(
            recipient=request.user,
            title=f"{made.title} is ready"[:200],
            body=f"{wording.number(made.rows)} rows: {', '.join(file.name for file in files)}",
            url=links[0] if links[0].startswith(("https://", "http://")) and len(links[0]) <= 1000 else None,
            data={"report": made.report.name},
        )


def link_to(uri: str, settings: ReportSettings, home: str) -> str:
    """Where a person finds a file: below TIDEMILL_REPORT_LINKS, else its URI."""
    if settings.links is None:
        return uri
    return settings.links.rstrip("/") + "/" + uri.removeprefix(home).lstrip("/")


def _period(made: Made, at: datetime) -> tuple[date, date]:
    days = [_day(made.values[name]) for name in made.report.definition.period]
    known = [day for day in days if day is not None] or [at.astimezone(made.report.definition.zone).date()]
    return known[0], known[-1]


def _day(value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None
