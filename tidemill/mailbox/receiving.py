"""The mail server: takes every mail for everybody, with any user name and password, and keeps it.

aiosmtpd speaks SMTP. Must never say that it has a mail before the file is there, and never send
one on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tidemill.mailbox.envelope import SERVER
from tidemill.mailbox.folder import MailFolder

LARGEST_BYTES = 50_000_000
IDLE_SECONDS = 300.0

log = logging.getLogger(__name__)
# aiosmtpd warns of a deprecated attribute whenever somebody logs in, and writes it itself.
logging.getLogger("mail.log").setLevel(logging.ERROR)


class _Delivery:
    def __init__(self, folder: MailFolder) -> None:
        self._folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        data = envelope.content or b""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        try:
            # In the loop: a file is written faster than a thread is asked, and mails keep their order.
            id = self._folder.add((envelope.mail_from or "").strip("<>"), envelope.rcpt_tos, data)
        except OSError as error:
            log.error("A mail can't be kept: %s", error)
            return "452 4.3.1 the mailbox can't write: make room, or mend the folder's permissions"
        return f"250 2.0.0 kept as {id}"


def _anybody(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=True)


async def mail_server(folder: MailFolder, host: str, port: int) -> asyncio.Server:
    """The server, listening, in the running loop.

    Args:
        folder: Where mails are kept.
        host: The address it listens on.
        port: Its port; 0 for any free one.

    Raises:
        OSError: The port is taken.
    """
    loop = asyncio.get_running_loop()
    delivery = _Delivery(folder)

    def connected() -> SMTP:
        return SMTP(
            delivery,
            hostname=SERVER,
            ident="Tidemill's mailbox for development",
            data_size_limit=LARGEST_BYTES,
            enable_SMTPUTF8=True,
            timeout=IDLE_SECONDS,
            authenticator=_anybody,
            auth_require_tls=False,
            loop=loop,
        )

    return await loop.create_server(connected, host, port)
