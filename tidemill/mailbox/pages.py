"""The mailbox's pages: mails to HTML and JSON.

Computes only. Everything of a mail is escaped, or, its own HTML, made for a frame without scripts (`framed`). Must
never make a page that loads anything from elsewhere.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidemill.mailbox.envelope import Envelope
from tidemill.mailbox.reading import Part, ReadMail
from tidemill.mailbox.summaries import Summary

FOLDER = Path(__file__).parent / "pages"
PER_PAGE = 50
VIEWS = {"html": "HTML", "phone": "Phone", "text": "Text", "headers": "Headers", "source": "Source"}
SHOWN_SOURCE_BYTES = 1_000_000
SHOWN_TEXT_CHARACTERS = 500_000
INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_CID = re.compile(r"cid:([^\"'\s)<>]{1,200})", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]{0,1000}>|<html\b[^>]{0,1000}>|<!doctype\b[^>]{0,1000}>", re.IGNORECASE)


def list_page(
    mails: Sequence[Summary], total: int, *, page: int, words: str, newest: str, smtp_address: str, now: datetime
) -> str:
    """The list.

    Args:
        mails: Those of this page.
        total: How many there are in all.
        page: Which page, from 1.
        words: What was looked for.
        newest: Id of the newest mail; empty without one.
        smtp_address: Where mails are to be sent to.
        now: The present, aware.
    """
    pages = max(1, -(-total // PER_PAGE))

    def at(number: int) -> str:
        return "/?" + urlencode({"page": number, **({"find": words} if words else {})})

    return _page(
        "list.html",
        mails=mails,
        total=total,
        page=page,
        pages=pages,
        newer=at(page - 1) if page > 1 else None,
        older=at(page + 1) if page < pages else None,
        words=words,
        newest=newest,
        smtp_address=smtp_address,
        now=now,
    )


def mail_page(
    id: str, mail: ReadMail, envelope: Envelope, source: bytes, *, view: str | None, received_at: datetime
) -> str:
    """One mail.

    Args:
        id: Of the mail.
        mail: Taken apart.
        envelope: Of the mail.
        source: As it came.
        view: One of `VIEWS`; None for the best that it has.
        received_at: When it came.
    """
    views = [each for each in VIEWS if mail.html is not None or each not in ("html", "phone")]
    shown = view if view in views else views[0]
    to_all = " ".join(mail.field(name) for name in ("to", "cc")).casefold()
    return _page(
        "mail.html",
        id=id,
        mail=mail,
        envelope=envelope,
        blind=[address for address in envelope.recipients if address.casefold() not in to_all],
        views={each: VIEWS[each] for each in views},
        view=shown,
        text=(mail.text or "")[:SHOWN_TEXT_CHARACTERS],
        source=source[:SHOWN_SOURCE_BYTES].decode("utf-8", "replace").replace("\r\n", "\n"),
        is_cut=len(source) > SHOWN_SOURCE_BYTES,
        size_bytes=len(source),
        received_at=received_at,
    )


def problem_page(title: str, text: str) -> str:
    """A page that says what went wrong."""
    return _page("problem.html", title=title, text=text)


def framed(mail: ReadMail) -> str:
    """A mail's own HTML for the frame: its pictures in it, its links opening a page of their own.

    Scripts and everything remote are left as they are; the answer's Content-Security-Policy keeps them from working.
    """
    pictures = {part.content_id: part for part in mail.parts if part.content_id and part.content_type in INLINE_TYPES}

    def inlined(found: re.Match[str]) -> str:
        part = pictures.get(found[1])
        if part is None:
            return found[0]
        return f"data:{part.content_type};base64,{base64.b64encode(part.data).decode()}"

    page = _CID.sub(inlined, mail.html or "")
    # After the first of these: before <!doctype> it would have the page drawn as in 1998.
    place = max((found.end() for found in _HEAD.finditer(page[:20_000])), default=0)
    return f'{page[:place]}<base target="_blank">{page[place:]}'


def as_json(summary: Summary) -> dict[str, Any]:
    """A mail in a line, for programs."""
    return {
        "id": summary.id,
        "received_at": summary.received_at.isoformat(timespec="milliseconds"),
        "envelope": {"sender": summary.sender, "recipients": list(summary.recipients)},
        "from": summary.from_,
        "to": summary.to,
        "subject": summary.subject,
        "snippet": summary.snippet,
        "attachments": summary.attachments,
        "size_bytes": summary.size_bytes,
        "url": f"/mails/{summary.id}",
    }


def whole_as_json(summary: Summary, mail: ReadMail) -> dict[str, Any]:
    """All of a mail but the bytes of its files, for programs."""
    return {
        **as_json(summary),
        "headers": [list(field) for field in mail.fields],
        "text": mail.text,
        "html": mail.html,
        "fault": mail.fault,
        "parts": [
            {
                "name": part.name,
                "content_type": part.content_type,
                "content_id": part.content_id,
                "size_bytes": len(part.data),
                "url": part_address(summary.id, part),
            }
            for part in mail.parts
        ],
    }


def part_address(id: str, part: Part) -> str:
    """Where a part's bytes are."""
    return f"/mails/{id}/parts/{part.number}/{quote(part.name, safe='')}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Any] = {"size": _size, "moment": _moment, "person": _person}
    environment.filters.update(filters)
    environment.globals["part_address"] = part_address
    return environment


def _page(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:.0f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"


def _moment(moment: datetime, now: datetime) -> str:
    here, today = moment.astimezone(), now.astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M:%S}"
    return f"{here:%d %b %H:%M}" if here.year == today.year else f"{here:%d %b %Y}"


def _person(field: str) -> str:
    """The name of the first address in a field, or the address."""
    name, address = parseaddr(field)
    return name or address or field
