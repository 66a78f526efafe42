"""One connection to a mail server, and mails over it, one after another.

aiosmtplib connects, secures and logs in; then its transport is taken over, since mails go twice as fast when MAIL, RCPT
and DATA travel together (PIPELINING, RFC 2920), which it can't. Must always know whether a mail may have been taken: up
to the final dot a loss means that it wasn't, from then on until the answer nobody knows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import cast

import aiosmtplib

from streams.email.message import Mail
from streams.email.replies import Handover, Refusal, Reply, ReplyReader
from streams.email.settings import EmailSettings
from tidemill.errors import ConfigError, HandlerError, OutcomeUnknown, Reject

_WHOLE_BYTES = 64 * 1024
"""Mails up to this go out with their final dot in one write; larger ones are known to have arrived up to it before."""


class RelayLost(HandlerError):
    """The connection was lost, or didn't answer, before a mail was handed over: it wasn't sent."""

    retriable = True


class Connection(asyncio.Protocol):
    """An open connection; make one with `Connection.open`.

    For one mail at a time. After an error it can't be used any more, unless `is_usable` says so.
    """

    def __init__(self, settings: EmailSettings, client: aiosmtplib.SMTP) -> None:
        self._settings = settings
        self._client = client  # It closes the transport when it is collected.
        self._transport = cast(asyncio.Transport, client.transport)
        self._pipelining = client.supports_extension("pipelining")
        self._smtputf8 = client.supports_extension("smtputf8")
        self._size_known = client.supports_extension("size")
        size = client.esmtp_extensions.get("size", "") if self._size_known else ""
        self._most_bytes = int(size) if size.isdigit() else 0
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._reset_first = False
        self.relay = settings.relay
        self.mails = 0
        self.used_at = monotonic()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, settings: EmailSettings) -> Connection:
        """Connect, secure and log in, as the settings say.

        Raises:
            RelayLost: Nobody answers, or the server has no time.
            ConfigError: Name and password, certificate or security don't fit; retriable, for it is no mail's fault.
        """
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.hello,
            username=settings.user,
            password=settings.password.get_secret_value() if settings.password else None,
            timeout=settings.connect_seconds,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=_tls(settings),
        )
        try:
            async with asyncio.timeout(settings.connect_seconds):
                await client.connect()
                if not client.last_ehlo_response:
                    await client.ehlo()
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPNotSupported, ssl.SSLError) as error:
            client.close()
            raise _misfit(settings, error) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            # It has no class of its own for a server that doesn't offer STARTTLS.
            if isinstance(error.__cause__, ssl.SSLError) or type(error) is aiosmtplib.SMTPException:
                raise _misfit(settings, error) from error
            raise RelayLost(f"The relay {settings.relay} can't be used: {_words(error)}.") from error
        except BaseException:
            client.close()
            raise
        return cls(settings, client)

    @property
    def is_usable(self) -> bool:
        """Whether another mail can go over it."""
        return self._lost is None and not self._transport.is_closing()

    async def send(self, mail: Mail, recipients: Sequence[str]) -> Handover:
        """Hand a mail over.

        Args:
            mail: The mail.
            recipients: Whom it is to go to, some or all of its recipients.

        Returns:
            Whom the server took it for, at least one, and whom not.

        Raises:
            Refused: It took it for nobody, or refused the mail itself.
            RelayLost: It didn't answer; the mail wasn't sent.
            OutcomeUnknown: It didn't answer after the mail's last byte.
        """
        if mail.needs_smtputf8 and not self._smtputf8:
            raise Reject(
                f"The relay {self.relay} takes no addresses with letters other than ASCII before the @ (no SMTPUTF8).",
                hint="Use another address, or a relay that offers SMTPUTF8.",
            )
        if 0 < self._most_bytes < len(mail.data):
            raise Reject(f"The mail has {len(mail.data):,} bytes; {self.relay} takes at most {self._most_bytes:,}.")
        refused, go_on = await self._envelope(mail, recipients)
        declined = {each.address for each in refused}
        accepted = tuple(address for address in recipients if address not in declined)
        if not accepted:
            raise Refused(self.relay, refused)
        if not go_on.is_fine:
            raise Refused(self.relay, [*refused, *_all(accepted, go_on)])
        answer = await self._hand_over(mail.data)
        self._reset_first = False
        self.mails += 1
        if not answer.is_fine:
            raise Refused(self.relay, [*refused, *_all(accepted, answer)])
        return Handover(self.relay, accepted, tuple(refused), str(answer))

    async def _envelope(self, mail: Mail, recipients: Sequence[str]) -> tuple[list[Refusal], Reply]:
        """MAIL, RCPT and DATA; returns the recipients that were refused and the answer to DATA."""
        options = f" SIZE={len(mail.data)}" if self._size_known else ""
        options += " BODY=8BITMIME SMTPUTF8" if mail.needs_smtputf8 else ""
        commands = ["RSET"] if self._reset_first else []
        commands += [f"MAIL FROM:<{mail.sender}>{options}", *(f"RCPT TO:<{address}>" for address in recipients), "DATA"]
        self._reset_first = True
        if self._pipelining:
            answers = await self._ask(commands)
            first = answers[-len(recipients) - 2]
            per_recipient, go_on = answers[-len(recipients) - 1 : -1], answers[-1]
            if go_on.code == 354 and not (first.is_fine and any(answer.is_fine for answer in per_recipient)):
                # Nobody is to get it, but the server waits for a text. RFC 2920, 3.1, would end it with a dot alone;
                # a server as odd as this one might send that to somebody.
                self._fail("began a mail that it had refused")
        else:
            if len(commands) > len(recipients) + 2:
                await self._ask([commands.pop(0)])
            (first,) = await self._ask(commands[:1])
            per_recipient, go_on = [], first
            if first.is_fine:
                for command in commands[1:-1]:
                    per_recipient += await self._ask([command])
                if any(answer.is_fine for answer in per_recipient):
                    (go_on,) = await self._ask(commands[-1:])
        if not first.is_fine:
            return _all(recipients, first), first
        pairs = zip(recipients, per_recipient, strict=True)
        return [Refusal(address, answer.code, answer.text) for address, answer in pairs if not answer.is_fine], go_on

    async def _hand_over(self, data: bytes) -> Reply:
        text = _dotted(data)
        self._check_open()
        if len(text) > _WHOLE_BYTES:
            self._transport.write(text)
            try:
                async with asyncio.timeout(self._settings.data_seconds):
                    await self._writable.wait()
            except TimeoutError as error:
                raise self._fail(f"took no more bytes for {self._settings.data_seconds:g} s") from error
            self._check_open()
            text = b""
        try:
            (answer,) = await self._ask_raw(text + b".\r\n", 1, self._settings.data_seconds)
        except RelayLost as error:
            raise OutcomeUnknown(
                f"Whether {self.relay} took the mail isn't known: after its last byte {error.message[:1].lower()}"
                f"{error.message[1:]}",
            ) from error
        return answer

    async def is_alive(self) -> bool:
        """Whether the server still answers; asks it."""
        try:
            (answer,) = await self._ask(["NOOP"])
        except HandlerError:
            return False
        return answer.is_fine

    async def close(self) -> None:
        """Say goodbye, and close."""
        if self.is_usable:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        # The transport tells the protocol a moment later.
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    async def _ask(self, commands: Sequence[str]) -> list[Reply]:
        data = "".join(f"{command}\r\n" for command in commands).encode()
        return await self._ask_raw(data, len(commands))

    async def _ask_raw(self, data: bytes, count: int, seconds: float | None = None) -> list[Reply]:
        """Write, and wait for so many replies."""
        self._check_open()
        self._transport.write(data)
        limit = self._settings.command_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                while len(self._replies) < count:
                    if self._replies and self._replies[-1].code == 421:
                        # RFC 5321, 3.8: it closes the connection; what else was asked gets no answer.
                        raise self._fail(f"closes the connection: {self._replies[-1]}")
                    self._check_open()
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError as error:
            raise self._fail(f"didn't answer within {limit:g} s") from error
        self.used_at = monotonic()
        found = [self._replies.popleft() for _ in range(count)]
        if any(reply.code == 421 for reply in found):
            (last,) = [str(reply) for reply in found if reply.code == 421][-1:]
            raise self._fail(f"closes the connection: {last}")
        return found

    def _check_open(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _fail(self, words: str) -> RelayLost:
        self._lost = self._lost or RelayLost(f"The relay {self.relay} {words}.")
        self._transport.abort()
        return RelayLost(f"The relay {self.relay} {words}.")

    def data_received(self, data: bytes) -> None:
        """Of asyncio: bytes came."""
        try:
            self._replies += self._reader.feed(data)
        except HandlerError as error:
            self._fail(f"doesn't speak SMTP: {error.message}")
        self._wake()

    def eof_received(self) -> bool:
        """Of asyncio: the server will say no more."""
        self._lost = self._lost or RelayLost(f"The relay {self.relay} closed the connection.")
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio: it is over."""
        why = f"was lost: {_words(exc)}" if exc else "closed the connection"
        self._lost = self._lost or RelayLost(f"The relay {self.relay} {why}.")
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Of asyncio: the network is slower than we are."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Of asyncio: it has caught up."""
        self._writable.set()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Refused(Exception):
    """A server took a mail for none of its recipients.

    Args:
        relay: The server.
        refused: Each recipient with the reply.
    """

    def __init__(self, relay: str, refused: Sequence[Refusal]) -> None:
        super().__init__(f"{relay}: {', '.join(f'{each.address}: {each.code} {each.text}' for each in refused)}")
        self.relay = relay
        self.refused = tuple(refused)


def _dotted(data: bytes) -> bytes:
    """A mail whose lines that begin with a dot begin with two (RFC 5321, 4.5.2)."""
    text = data.replace(b"\r\n.", b"\r\n..")
    return b"." + text if text.startswith(b".") else text


def _all(recipients: Sequence[str], reply: Reply) -> list[Refusal]:
    return [Refusal(address, reply.code, reply.text) for address in recipients]


def _tls(settings: EmailSettings) -> ssl.SSLContext | None:
    if settings.security == "plain":
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The certificates {str(settings.ca_file)!r} can't be used: {error}.") from error


def _misfit(settings: EmailSettings, error: BaseException) -> ConfigError:
    return ConfigError(
        f"The relay {settings.relay} can't be used with security {settings.security!r}"
        f"{f' as {settings.user!r}' if settings.user else ''}: {_words(error)}.",
        hint="Check TIDEMILL_EMAIL_SECURITY, _CA_FILE, _USER and _PASSWORD; mails wait meanwhile.",
        retriable=True,
    )


def _words(error: BaseException | None) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return str(Reply(error.code, " ".join(error.message.split())))
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return (str(error) or type(error).__name__).rstrip(".")
