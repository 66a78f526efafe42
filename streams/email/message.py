"""From a checked request to the mail's bytes, with its header fields.

Computes only. The same request, id and time give the same bytes, so that a mail that is sent again is the same mail for
whoever receives it (RFC 5322, 3.6.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, quote

from streams.email.address import Mailbox
from streams.email.content import Content
from streams.email.field_text import field_line
from streams.email.mime import AttachedFile, body_of
from streams.email.request import Checked
from streams.email.settings import EmailSettings
from streams.email.signing import Signer
from tidemill.errors import Reject


@dataclass(frozen=True)
class Mail:
    """A mail that is ready to be sent.

    Attributes:
        message_id: Without angle brackets.
        sender: The address that a server sends complaints to.
        recipients: Who gets it, each address once.
        needs_smtputf8: Whether only servers with SMTPUTF8 can take it.
        data: The mail, header and body, without SMTP's dots.
    """

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    needs_smtputf8: bool
    data: bytes


def compose(
    checked: Checked,
    content: Content,
    attachments: Sequence[AttachedFile],
    *,
    event_id: str,
    time: datetime,
    settings: EmailSettings,
    signer: Signer | None = None,
) -> Mail:
    """Put a mail together.

    Args:
        checked: The request.
        content: What it says.
        attachments: Files that go with it.
        event_id: Makes the Message-ID.
        time: Its Date.
        settings: Domain and largest size.
        signer: Signs it.

    Raises:
        Reject: It is larger than allowed.
    """
    digest = _digest(event_id)
    message_id = message_id_of(event_id, settings)
    utf8 = any(box.needs_smtputf8 for box in (checked.sender, *checked.recipients, *checked.reply_to))
    body = body_of(content, attachments, digest[:24])
    fields = [
        field_line("From", _written([checked.sender]), utf8=utf8),
        field_line("To", _written(checked.to), utf8=utf8) if checked.to else b"To: undisclosed-recipients:;\r\n",
        field_line("Cc", _written(checked.cc), utf8=utf8) if checked.cc else b"",
        field_line("Reply-To", _written(checked.reply_to), utf8=utf8) if checked.reply_to else b"",
        field_line("Subject", content.subject, utf8=utf8),
        f"Date: {format_datetime(time.astimezone(UTC))}\r\nMessage-ID: <{message_id}>\r\n".encode("ascii"),
        # RFC 3834: so that nobody's absence note answers a program.
        b"Auto-Submitted: auto-generated\r\n",
    ]
    if checked.unsubscribe is not None:
        fields.append(f"List-Unsubscribe: <{checked.unsubscribe}>\r\n".encode("ascii"))
        if checked.unsubscribe.startswith("https:"):
            fields.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    fields += [field_line(name, value, utf8=utf8) for name, value in checked.headers]
    fields += (b"MIME-Version: 1.0\r\n", body.header, b"\r\n", body.body)
    data = b"".join(fields)
    if len(data) > settings.max_message_bytes:
        raise Reject(
            f"The mail has {len(data):,} bytes, at most {settings.max_message_bytes:,} are sent.",
            hint="Put large files into the object store and send a link.",
        )
    if signer is not None:
        data = signer.sign(data) + data
    recipients = tuple(box.address for box in checked.recipients)
    return Mail(message_id, checked.sender.address, recipients, utf8, data)


def message_id_of(event_id: str, settings: EmailSettings) -> str:
    """The Message-ID of an event's mail, without angle brackets.

    Args:
        event_id: It stands before the @ where it can (RFC 5322, dot-atom), else a digest of it.
        settings: Domain.
    """
    plain = event_id.isascii() and event_id.replace("-", "").replace("_", "").isalnum() and len(event_id) <= 100
    return f"{event_id if plain else _digest(event_id)[:40]}@{settings.message_id_domain}"


def _digest(event_id: str) -> str:
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()


def _written(boxes: Sequence[Mailbox]) -> str:
    return ", ".join(f'"{quote(box.name)}" <{box.address}>' if box.name else box.address for box in boxes)
