"""Text that goes into a header field: what is refused in it, and how it is written.

A line break in a field would begin another field, or the body (header injection), so no field may hold one. Writing
follows RFC 5322 and RFC 2047 and is left to the standard library where a value isn't plain.
"""

from __future__ import annotations

import re
from email import policy
from email.header import Header
from functools import lru_cache

from tidemill.errors import Reject

CONTROL = re.compile("[\x00-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, Unicode's two line breaks, and halves of characters that can't be encoded."""
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_PLAIN = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
LINE_CHARS = 76
CRLF = "\r\n"
_POLICY = policy.SMTP.clone(max_line_length=LINE_CHARS)
_UTF8_POLICY = policy.SMTPUTF8.clone(max_line_length=LINE_CHARS)
RESERVED = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version"}
    | {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
    | {"list-unsubscribe", "list-unsubscribe-post", "auto-submitted", "dkim-signature", "return-path", "received"}
    | {f"resent-{name}" for name in ("from", "to", "cc", "bcc", "sender", "date", "message-id")}
)
"""Fields that the stream writes itself, or that only servers may."""
MOST_FIELD_CHARS = 2_000


def shown(text: str) -> str:
    """A value as it goes into an error message: quoted, escaped, at most 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def single_line(text: str, what: str) -> str:
    """The text, if it can stand in a header field.

    Args:
        text: The value.
        what: Its name for messages, e.g. `subject`.

    Raises:
        Reject: It holds a line break or another control character, or is longer than 2,000 characters.
    """
    if found := CONTROL.search(text):
        raise Reject(
            f"{what} {shown(text)} holds the control character U+{ord(found[0]):04X}; it must be a single line.",
            hint="A line break there would let whoever wrote it add header fields of their own.",
        )
    if len(text) > MOST_FIELD_CHARS:
        raise Reject(f"{what} has {len(text):,} characters, at most {MOST_FIELD_CHARS:,} are allowed.")
    return text


def display_text(name: str) -> str:
    """A name without what makes another text of it: invisible characters that turn it around, encoded words."""
    return _INVISIBLE.sub("", name).replace("=?", "= ?")


def check_field_name(name: str) -> str:
    """The name of a further header field, if a request may set it.

    Raises:
        Reject: It isn't a name, or is one that the stream writes itself.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise Reject(f"headers: {shown(name)} is no name of a header field: letters, digits and dashes.")
    if name.lower() in RESERVED:
        raise Reject(
            f"headers: {name} can't be set.", hint="The stream writes it itself, from the request's other fields."
        )
    return name


def field_line(name: str, value: str, *, utf8: bool = False) -> bytes:
    """A header field as bytes, with CRLF; long and non-ASCII values are folded and encoded.

    Args:
        name: Of the field.
        value: A single line.
        utf8: Whether the mail goes out with SMTPUTF8, and so holds UTF-8 as it is.
    """
    if len(name) + 2 + len(value) <= LINE_CHARS and "=?" not in value and _PLAIN.fullmatch(value):
        return f"{name}: {value}\r\n".encode("ascii")
    return _folded(name, value, utf8)


@lru_cache(maxsize=2048)
def _folded(name: str, value: str, utf8: bool) -> bytes:
    if "=?" in value:
        # What looks encoded already would be decoded by whoever reads it: it is encoded as the text that it is.
        return f"{name}: {Header(value, 'utf-8', LINE_CHARS, name).encode(linesep=CRLF)}{CRLF}".encode("ascii")
    rules = _UTF8_POLICY if utf8 else _POLICY
    return rules.fold_binary(name, rules.header_factory(name, value))
