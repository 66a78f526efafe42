"""A mail taken apart: header fields in words, text, HTML, and all other parts.

Computes only. Whatever the bytes are, it returns what can be read of them: mails with broken MIME, unknown charsets or
a thousand nested parts are what a developer wants to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message

MOST_PARTS = 200
# Slow ones, and those that aren't a charset at all; what they would decode is shown as UTF-8.
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7", "utf7"})
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKUP = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]{0,2000}>")


@dataclass(frozen=True)
class Part:
    """A part beside text and HTML: an attached file, or a picture in the HTML, which has a `content_id`."""

    number: int
    name: str
    content_type: str
    content_id: str | None
    data: bytes


@dataclass(frozen=True)
class ReadMail:
    """A mail as people see it; `fault` says why it could be read only in part."""

    fields: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    parts: tuple[Part, ...]
    fault: str | None = None

    def field(self, name: str) -> str:
        """The first header field of a name; empty where there is none."""
        return next((value for each, value in self.fields if each.lower() == name), "")

    @property
    def attachments(self) -> tuple[Part, ...]:
        """The parts that aren't shown in the HTML."""
        html = self.html or ""
        return tuple(part for part in self.parts if not (part.content_id and f"cid:{part.content_id}" in html))

    @property
    def snippet(self) -> str:
        """The beginning of what it says, one line."""
        said = self.text if self.text and self.text.strip() else _MARKUP.sub(" ", (self.html or "")[:50_000])
        return " ".join(said[:1_000].split())[:160]


def read_mail(data: bytes) -> ReadMail:
    """Take a mail apart.

    Args:
        data: The mail, without its envelope.
    """
    try:
        message = message_from_bytes(data, policy=policy.compat32)
    except RecursionError:
        head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        fields = tuple(_fields(message_from_bytes(head + b"\n\n", policy=policy.compat32)))
        return ReadMail(fields, None, None, (), "Its parts are nested too deeply to be read.")
    text: str | None = None
    html: str | None = None
    parts: list[Part] = []
    fault: str | None = None
    for number, part in enumerate(_leaves(message)):
        if number == MOST_PARTS:
            fault = f"It has more than {MOST_PARTS} parts; the others are only in its source."
            break
        kind = part.get_content_type()
        is_body = not _is_file(part)
        if is_body and kind == "text/plain" and text is None:
            text = _decoded(part)
        elif is_body and kind == "text/html" and html is None:
            html = _decoded(part)
        else:
            parts.append(_part(part, len(parts)))
    if fault is None and message.defects:
        fault = f"Its MIME is broken: {_words(message)}."
    return ReadMail(tuple(_fields(message)), text, html, tuple(parts), fault)


def _leaves(message: Message) -> Iterator[Message]:
    # Not Message.walk, which calls itself for each level; and mails within a mail stay whole.
    pending = [message]
    while pending:
        part = pending.pop()
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            pending += reversed(_within(part))
        else:
            yield part


def _within(part: Message) -> list[Message]:
    return [each for each in part.get_payload() if isinstance(each, Message)]


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _part(part: Message, number: int) -> Part:
    kind = part.get_content_type()
    id = (_words_of(str(part.get("Content-ID", ""))).strip().strip("<>")) or None
    name = _words_of(part.get_filename() or "").strip()
    if not name:
        name = "message.eml" if kind == "message/rfc822" else f"part-{number + 1}"
    return Part(number, re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)[:200], kind, id, _bytes_of(part))


def _bytes_of(part: Message) -> bytes:
    if part.is_multipart():
        try:
            return b"\r\n".join(each.as_bytes() for each in _within(part))
        except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return b""  # it is in the mail's source
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _decoded(part: Message) -> str:
    return _text(_bytes_of(part), part.get_content_charset()).replace("\r\n", "\n")


def _text(data: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower().replace("-", "_")
    try:
        return data.decode("utf-8" if name in _NO_CHARSETS else name, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    for name, value in message.raw_items():
        yield _readable(name), _words_of(str(value))


def _words_of(value: str) -> str:
    """A field's value in words: unfolded, its encoded words decoded (RFC 2047), its bytes taken as UTF-8 (RFC 6532)."""
    plain = _readable(re.sub(r"\r?\n(?=[ \t])", "", value))
    try:
        pieces = decode_header(plain) if "=?" in plain else [(plain, None)]
        words = "".join(piece if isinstance(piece, str) else _text(piece, charset) for piece, charset in pieces)
    except (HeaderParseError, ValueError):
        return plain
    return _SURROGATES.sub("\ufffd", words) or plain


def _readable(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _words(message: Message) -> str:
    names = dict.fromkeys(type(defect).__name__.removesuffix("Defect") for defect in message.defects)
    return ", ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in names)
