"""What the mailbox of the local stack is: its command line, computed, nothing started. It needs no Java.

Listens on 127.0.0.1 only; keeps the newest mails as files, so that they survive a restart.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tidemill.local.layout import Layout
from tidemill.local.ports import HOST
from tidemill.local.program import Program, marks
from tidemill.local.record import StackRecord


@dataclass(frozen=True)
class MailboxPorts:
    """Where it listens: `smtp` takes mails, `page` shows them."""

    smtp: int
    page: int

    @property
    def smtp_address(self) -> str:
        """Where mails are to be sent to, host:port."""
        return f"{HOST}:{self.smtp}"

    @property
    def url(self) -> str:
        """Where they are shown."""
        return f"http://{HOST}:{self.page}"


def ports_of(found: StackRecord) -> MailboxPorts | None:
    """Where the mailbox of a running stack listens; None if it was started without."""
    if found.smtp_address is None or found.mailbox_url is None:
        return None
    smtp, page = (int(address.rpartition(":")[2]) for address in (found.smtp_address, found.mailbox_url))
    return MailboxPorts(smtp, page)


def program(layout: Layout, ports: MailboxPorts, stack_id: str) -> Program:
    """The mailbox as a program to run.

    Args:
        layout: Where its mails and its log are.
        ports: Where it will listen.
        stack_id: The stack that it is part of.
    """
    command = (
        sys.executable,
        "-P",  # whatever lies in the working directory isn't imported
        "-m",
        "tidemill.mailbox",
        "--folder",
        str(layout.mail_dir),
        "--smtp-port",
        str(ports.smtp),
        "--port",
        str(ports.page),
        "--",
        *marks(stack_id, layout.state_dir),
    )
    return Program("mailbox", "The mailbox", command, layout.log("mailbox"), ports.smtp)
