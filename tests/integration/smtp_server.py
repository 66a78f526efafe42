"""A mail server for tests and measurements that keeps what it gets, and misbehaves as it is told.

Speaks what a client of mails needs of RFC 5321, with PIPELINING, SIZE and SMTPUTF8 if wanted. Each command is first
shown to a rule, which may answer, drop the connection, or say nothing for ever. It must judge nothing: whatever a
client writes is kept as it came.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, cast

Rule = Callable[["Command"], "str | Literal['drop', 'hang'] | None"]
DROP: Literal["drop"] = "drop"
HANG: Literal["hang"] = "hang"
_DOT = re.compile(rb"^\.", re.MULTILINE)
_PATH = re.compile(r"(?:MAIL FROM|RCPT TO):\s*<([^>]*)>", re.IGNORECASE)


@dataclass(frozen=True)
class Received:
    """A mail that the server took."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail as the standard library reads it."""
        return message_from_bytes(self.data, policy=policy.default)

    @property
    def message_id(self) -> str:
        """Without angle brackets."""
        found = re.search(rb"(?im)^message-id: <([^>]+)>", self.data)
        return found[1].decode() if found else ""


@dataclass(frozen=True)
class Command:
    """A command as a rule sees it; `verb` is `CONNECT` for a new connection and `END` for a mail's final dot."""

    verb: str
    line: str
    session: Session

    @property
    def path(self) -> str:
        """The address of MAIL and RCPT."""
        found = _PATH.match(self.line)
        return found[1] if found else ""


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self.number = len(server.sessions) + 1
        self.commands: list[str] = []
        self.sender = ""
        self.recipients: list[str] = []
        self.mails = 0
        self.is_open = False
        self.closed = asyncio.Event()
        self.pending: Received | None = None
        self._in_data = False
        self._in_transaction = False
        self._buffer = b""
        self._silent = False
        server.sessions.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._obey("CONNECT", "", "220 sink.example.com ready")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._silent:
            if self._in_data:
                if not self._take_data():
                    return
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._take(line.decode("utf-8", "replace"))

    def _take_data(self) -> bool:
        end = 0 if self._buffer.startswith(b".\r\n") else self._buffer.find(b"\r\n.\r\n") + 2
        if end == 1:
            return False
        data, self._buffer, self._in_data = self._buffer[:end], self._buffer[end + 3 :], False
        self._end(_DOT.sub(b"", data))
        return True

    def _end(self, data: bytes) -> None:
        mail = Received(self.sender, tuple(self.recipients), data)
        self.pending = mail
        said = self._obey("END", mail.message_id, f"250 2.0.0 queued as {len(self.server.mails) + 1:06}")
        if said.startswith("2"):
            self.server.mails.append(mail)
            self.mails += 1
        self._in_transaction, self.recipients = False, []

    def _take(self, line: str) -> None:
        self.commands.append(line)
        verb = line[:4].upper()
        match verb:
            case "EHLO":
                lines = ["sink.example.com", *self.server.extensions]
                usual = "\r\n".join(f"250{'-' if each is not lines[-1] else ' '}{each}" for each in lines)
            case "DATA":
                usual = "354 go on" if self.recipients else "503 no recipients"
            case "MAIL" | "RCPT" if not _PATH.match(line):
                usual = "501 no address"
            case "RCPT" if not self._in_transaction:
                usual = "503 MAIL first"
            case "QUIT":
                usual = "221 bye"
            case "NOOP" | "RSET" | "MAIL" | "RCPT" | "HELO":
                usual = "250 fine"
            case _:
                usual = "502 what?"
        said = self._obey(verb, line, usual)
        if verb == "RSET":
            self._in_transaction, self.recipients = False, []
        elif verb == "MAIL" and said.startswith("2"):
            self._in_transaction, self.sender, self.recipients = True, Command(verb, line, self).path, []
        elif verb == "RCPT" and said.startswith("2"):
            self.recipients.append(Command(verb, line, self).path)
        elif verb == "DATA" and said.startswith("354"):
            self._in_data = True
        elif verb == "QUIT":
            self._later(self.transport.close)

    def _obey(self, verb: str, line: str, usual: str) -> str:
        said = (self.server.rule(Command(verb, line, self)) if self.server.rule else None) or usual
        if said in (DROP, HANG):
            self._silent = True
            if said == DROP:
                self._later(self.transport.abort)
            return said
        self._later(lambda: self.transport.write(f"{said}\r\n".encode()))
        if said.startswith("421"):
            self._silent = True
            self._later(self.transport.close)
        return said

    def _later(self, act: Callable[[], Any]) -> None:
        if self.server.latency_seconds:
            self.server.loop.call_later(self.server.latency_seconds, act)
        else:
            act()


@dataclass
class SmtpServer:
    """A server on a free port of 127.0.0.1.

    Args:
        rule: Decides what is out of the ordinary.
        latency_seconds: Each answer goes out so long after its command came, as from a distance.
        extensions: What EHLO offers.
    """

    rule: Rule | None = None
    latency_seconds: float = 0.0
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8")
    mails: list[Received] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    port: int = 0

    async def start(self) -> None:
        """Listen."""
        self.loop = asyncio.get_running_loop()
        self._server = await self.loop.create_server(lambda: Session(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        for session in self.sessions:
            if session.is_open:
                session.transport.abort()
        # The transports tell it in the loop's next round.
        await asyncio.gather(*(session.closed.wait() for session in self.sessions))

    @property
    def open_sessions(self) -> int:
        """Connections at this moment."""
        return sum(session.is_open for session in self.sessions)


@asynccontextmanager
async def smtp_server(rule: Rule | None = None, **more: Any) -> AsyncIterator[SmtpServer]:
    """A server in the test's own event loop."""
    server = SmtpServer(rule, **more)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextmanager
def smtp_server_in_thread(rule: Rule | None = None, **more: Any) -> Iterator[SmtpServer]:
    """A server with a thread of its own, for tests of whole programs."""
    server = SmtpServer(rule, **more)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="smtp-server")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
