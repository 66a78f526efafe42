"""A few requests at once to each host: one that answers slowly must not take all of a worker's slots.

Whoever doesn't get a turn soon is told to come later, and makes room. Runs on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.notification.answers import NotNow


@dataclass
class _Host:
    turns: asyncio.Semaphore
    users: int = 0


class Turns:
    """Turns for all hosts.

    Args:
        most: Requests to one host at once.
        wait_seconds: How long one waits for its turn.
    """

    def __init__(self, most: int, wait_seconds: float) -> None:
        self._most = most
        self._wait_seconds = wait_seconds
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        """A turn for the time of the block.

        Args:
            host: Name and port.

        Raises:
            NotNow: The host is slow; nothing was sent.
        """
        found = self._hosts.setdefault(host, _Host(asyncio.Semaphore(self._most)))
        found.users += 1
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await found.turns.acquire()
            except TimeoutError:
                raise NotNow(f"{host} is slow: {self._most} requests to it wait for its answer") from None
            try:
                yield
            finally:
                found.turns.release()
        finally:
            found.users -= 1
            if not found.users:
                # Strangers name the hosts: what isn't used isn't kept.
                del self._hosts[host]
