"""Connections to the relay that are kept: at most so many, each for many mails, closed when there is nothing to do.

One for an event loop. Must never hand out a connection whose server has gone, nor lose a place when a mail fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

from streams.email.connection import Connection, Refused, RelayLost
from streams.email.message import Mail
from streams.email.pace import Pace
from streams.email.replies import Handover
from streams.email.settings import EmailSettings
from tidemill.errors import ConfigError, TidemillError

CHECK_AFTER_SECONDS = 5.0
"""A connection that was idle for longer is asked whether it is still there."""
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 30.0


class Pool:
    """Connections to one relay.

    Args:
        settings: Where it is, and how many.
    """

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(settings.max_connections)
        self._pace = Pace(settings.rate_per_second)
        self._closer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._pause_seconds = 0.0
        self._down_until = 0.0
        self._down: TidemillError | None = None
        self.opened = 0

    async def send(self, mail: Mail, recipients: Sequence[str]) -> Handover:
        """Hand a mail over on a free connection; waits for one.

        Args:
            mail: The mail.
            recipients: Whom it is to go to.

        Raises:
            Refused, RelayLost, OutcomeUnknown, ConfigError, Reject: As `Connection.open` and `Connection.send`.
        """
        async with self._places:
            await self._pace.turn()
            connection = await self._kept()
            if connection is not None:
                try:
                    return await self._over(connection, mail, recipients)
                except RelayLost:
                    # It was kept while its server went, and nothing was sent: a fresh one tells how things are.
                    pass
            return await self._over(await self._fresh(), mail, recipients)

    async def _over(self, connection: Connection, mail: Mail, recipients: Sequence[str]) -> Handover:
        done = False
        try:
            handover = await connection.send(mail, recipients)
            done = True
            return handover
        except Refused:
            done = True
            raise
        finally:
            # After anything else nobody knows where the conversation stands.
            if done and connection.is_usable and connection.mails < self._settings.max_messages_per_connection:
                self._idle.append(connection)
                self._close_idle_later()
            elif done:
                self._close(connection)
            else:
                connection.abort()

    async def _kept(self) -> Connection | None:
        while self._idle:
            # The last used first, so that those that aren't needed grow old.
            connection = self._idle.pop()
            if not connection.is_usable:
                continue
            if monotonic() - connection.used_at < CHECK_AFTER_SECONDS or await connection.is_alive():
                return connection
            connection.abort()
        return None

    async def _fresh(self) -> Connection:
        if self._down is not None and monotonic() < self._down_until:
            # A relay that is down isn't asked by every mail anew.
            raise type(self._down)(self._down.message, hint=self._down.hint, retriable=True)
        try:
            connection = await Connection.open(self._settings)
        except (RelayLost, ConfigError) as error:
            self._pause_seconds = min(max(self._pause_seconds * 2, FIRST_PAUSE_SECONDS), MOST_PAUSE_SECONDS)
            self._down_until, self._down = monotonic() + self._pause_seconds, error
            raise
        self._pause_seconds, self._down = 0.0, None
        self.opened += 1
        return connection

    def _close_idle_later(self) -> None:
        if self._closer is None:
            loop = asyncio.get_running_loop()
            self._closer = loop.call_later(self._settings.idle_seconds, self._close_idle)

    def _close_idle(self) -> None:
        self._closer = None
        oldest = monotonic() - self._settings.idle_seconds
        old = [connection for connection in self._idle if connection.used_at <= oldest]
        self._idle = [connection for connection in self._idle if connection.used_at > oldest]
        for connection in old:
            self._close(connection)
        if self._idle:
            self._close_idle_later()

    def _close(self, connection: Connection) -> None:
        task = asyncio.ensure_future(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections that are free."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        while self._idle:
            self._close(self._idle.pop())
        await asyncio.gather(*self._closing)
