"""What the mail server knew and the mail itself doesn't say: sender and recipients of SMTP, the blind ones among them.

Written before the mail as the header fields that a server writes at its last delivery (RFC 5321, 4.4), so that the file
is an ordinary mail to every other program. Computes only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

SERVER = "mailbox.localhost"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LINE = re.compile(rb"(Return-Path|Delivered-To): <?([^\r\n]*?)>?\r\n")
_LAST = f"Received: by {SERVER} ".encode()


@dataclass(frozen=True)
class Envelope:
    """Sender and recipients as they were told to the server; the sender is empty for a bounce."""

    sender: str
    recipients: tuple[str, ...]


def enveloped(data: bytes, sender: str, recipients: Sequence[str], now: datetime) -> bytes:
    """A mail with its envelope before it.

    Args:
        data: The mail as it came.
        sender: Of MAIL FROM.
        recipients: Of RCPT TO.
        now: When it came, aware.
    """
    lines = [f"Return-Path: <{_plain(sender)}>"]
    lines += [f"Delivered-To: {_plain(recipient)}" for recipient in recipients]
    lines.append(f"Received: by {SERVER} with ESMTP; {format_datetime(now)}")
    return "".join(f"{line}\r\n" for line in lines).encode() + data


def opened(data: bytes) -> tuple[Envelope, bytes]:
    """The envelope of a kept mail, and the mail as it came.

    Args:
        data: What `enveloped` made. Of any other mail all is returned, with an empty envelope.
    """
    sender, recipients, position = "", [], 0
    while found := _LINE.match(data, position):
        if found[1] == b"Return-Path":
            sender = found[2].decode("utf-8", "replace")
        else:
            recipients.append(found[2].decode("utf-8", "replace"))
        position = found.end()
    if not data.startswith(_LAST, position):
        return Envelope("", ()), data
    return Envelope(sender, tuple(recipients)), data[data.index(b"\r\n", position) + 2 :]


def _plain(address: str) -> str:
    """An address that can't begin a header field of its own."""
    return _CONTROL.sub("?", address).encode("utf-8", "replace").decode()
