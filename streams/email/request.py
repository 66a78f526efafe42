"""A request for a mail, checked: every field that could hurt is looked at before anything is made of it.

Computes only. All faults of a request come in one message. Must be called before a template sees the context.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from streams.email.address import Mailbox, parse_address
from streams.email.field_text import check_field_name, shown, single_line
from streams.email.settings import EmailSettings
from tidemill.errors import Reject
from tidemill.events import EmailRequested

A = TypeVar("A")
T = TypeVar("T")

MOST_REPLY_TO = 10
MOST_HEADERS = 50

TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checked:
    """What a request asks for, safe to use.

    Attributes:
        sender: Who it is from.
        to, cc, bcc: Recipients, each address once: the first place counts.
        reply_to: Where answers go.
        context: The template's variables.
        headers: Further header fields, in alphabetical order.
        unsubscribe: The address to unsubscribe at.
        request: The rest.
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    context: dict[str, Any]
    headers: tuple[tuple[str, str], ...]
    unsubscribe: str | None
    request: EmailRequested

    @property
    def recipients(self) -> tuple[Mailbox, ...]:
        """Everybody who gets it."""
        return self.to + self.cc + self.bcc


def check_request(request: EmailRequested, settings: EmailSettings) -> Checked:
    """Check a request against every rule.

    Args:
        request: As it came.
        settings: Limits, and the sender where it names none.

    Raises:
        Reject: Something in it can't be; the message names every fault.
    """
    count = len(request.to) + len(request.cc) + len(request.bcc)
    if not 1 <= count <= settings.max_recipients:
        # Before any is looked at: there may be a million.
        raise Reject(f"to, cc and bcc hold {count:,} recipients, expected 1 to {settings.max_recipients}.")
    faults = _Faults()
    seen: set[str] = set()
    sender = faults.tried(parse_address, request.sender or settings.sender)
    to, cc, bcc = (
        tuple(box for box in faults.each(parse_address, group) if _new(box, seen))
        for group in (request.to, request.cc, request.bcc)
    )
    reply_to = tuple(faults.each(parse_address, request.reply_to[:MOST_REPLY_TO]))
    headers = tuple(faults.each(_header, sorted(request.headers.items())[:MOST_HEADERS]))
    unsubscribe = faults.tried(_unsubscribe, request.list_unsubscribe)
    context = faults.tried(lambda text: read_context(text, settings.max_context_bytes), request.context)
    faults += _count_faults(request)
    faults += _body_faults(request, settings)
    faults += _attachment_faults(request, settings)
    if faults or sender is None or context is None:
        raise Reject("The mail can't be made: " + " ".join(faults))
    return Checked(sender, to, cc, bcc, reply_to, context, headers, unsubscribe, request)


class _Faults(list[str]):
    """Gathers what is wrong with a request, so that all of it is told at once."""

    def tried(self, check: Callable[[A], T], value: A) -> T | None:
        try:
            return check(value)
        except Reject as error:
            self.append(str(error))
            return None

    def each(self, check: Callable[[A], T], values: Iterable[A]) -> Iterator[T]:
        for value in values:
            if (found := self.tried(check, value)) is not None:
                yield found


def _header(pair: tuple[str, str]) -> tuple[str, str]:
    name, value = pair
    return check_field_name(name), single_line(value, f"headers[{name}]")


def _count_faults(request: EmailRequested) -> Iterable[str]:
    if len(request.reply_to) > MOST_REPLY_TO:
        yield f"reply_to has {len(request.reply_to)} addresses, at most {MOST_REPLY_TO} are allowed."
    if len(request.headers) > MOST_HEADERS:
        yield f"headers has {len(request.headers)} fields, at most {MOST_HEADERS} are allowed."


def _new(box: Mailbox, seen: set[str]) -> bool:
    if box.identity in seen:
        return False
    seen.add(box.identity)
    return True


def read_context(text: str, max_bytes: int) -> dict[str, Any]:
    """A template's variables from JSON.

    Args:
        text: A JSON object, or nothing.
        max_bytes: Longest text that is read, UTF-8.

    Raises:
        Reject: It is longer, no JSON, or no object.
    """
    if len(text) > max_bytes or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise Reject(f"context has more than {max_bytes:,} bytes.", hint="Put large things into the object store.")
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise Reject(f"context {shown(text)} is no JSON: {error}.", hint="Write it with json.dumps({...}).") from error
    if not isinstance(found, dict):
        raise Reject(f'context is a JSON {type(found).__name__}, expected an object such as {{"name": "Ada"}}.')
    return found


def _unsubscribe(text: str | None) -> str | None:
    if text is None:
        return None
    single_line(text, "list_unsubscribe")
    address = urlsplit(text)
    fits = (address.scheme == "https" and address.netloc) or (address.scheme == "mailto" and "@" in address.path)
    if not fits or not text.isascii() or re.search(r"[<>\s,]", text) or len(text) > 900:
        raise Reject(f"list_unsubscribe {shown(text)} is no https:// or mailto: address.")
    return text


def _body_faults(request: EmailRequested, settings: EmailSettings) -> Iterable[str]:
    if request.template is not None:
        if not TEMPLATE_NAME.fullmatch(request.template):
            yield (
                f"template {shown(request.template)} is no name of one: small letters, digits, dashes and underscores."
            )
        if request.text is not None or request.html is not None:
            yield "text and html can't be given beside a template, which makes both."
    elif request.subject is None or (request.text is None and request.html is None):
        yield "it has neither a template nor a subject with a text or html."
    if request.locale is not None and not LOCALE.fullmatch(request.locale):
        yield f"locale {shown(request.locale)} isn't one, such as de or pt-BR."
    for what, body in (("text", request.text), ("html", request.html)):
        if body is None:
            continue
        if len(body) > settings.max_body_bytes:
            yield f"{what} has {len(body):,} characters, at most {settings.max_body_bytes:,} bytes are sent."
        if "\0" in body:
            yield f"{what} holds the character U+0000, which no mail may."


def _attachment_faults(request: EmailRequested, settings: EmailSettings) -> Iterable[str]:
    if len(request.attachments) > settings.max_attachments:
        yield f"it has {len(request.attachments)} attachments, at most {settings.max_attachments} are allowed."
        return
    for index, file in enumerate(request.attachments):
        where = f"attachments[{index}]"
        if file.name is not None:
            if not file.name.strip(". ") or len(file.name) > 200 or re.search(r"[/\\]", file.name):
                yield f"{where}.name {shown(file.name)} is no plain file name of at most 200 characters."
            try:
                single_line(file.name, f"{where}.name")
            except Reject as error:
                yield str(error)
        if file.content_type is not None and not _MEDIA_TYPE.fullmatch(file.content_type):
            yield f"{where}.content_type {shown(file.content_type)} is no media type such as application/pdf."
        elif file.content_type is not None and file.content_type.lower().startswith(("multipart/", "message/")):
            yield f"{where}.content_type {shown(file.content_type)} would be taken for a part of the mail itself."
        if file.sha256 is not None and not _DIGEST.fullmatch(file.sha256):
            yield f"{where}.sha256 {shown(file.sha256)} isn't 64 lowercase hex digits."
