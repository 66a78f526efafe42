"""How many bytes a gateway holds: bodies that are read, and events that wait for the broker. More is refused.

This keeps memory flat while the broker is away or slow, however many clients send.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from producers.gateway.errors import Problem


class Waiting:
    """Counts bytes up to a limit.

    Args:
        most_bytes: The limit.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._room = asyncio.Event()

    @property
    def is_nearly_full(self) -> bool:
        """Whether large things may be refused by now."""
        return self.bytes > 0.9 * self.most_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes; who takes them gives them back.

        Raises:
            Problem: There would be more than the limit; none are counted.
        """
        if self.bytes + size_bytes > self.most_bytes:
            raise Problem(
                "busy",
                "The gateway holds as many bytes as it may, which wait for Kafka. Nothing of this was published.",
                retry_after_seconds=1,
            )
        self.bytes += size_bytes

    async def take_in_time(self, size_bytes: int, seconds: float) -> None:
        """As `take`, but wait for room before it is refused.

        Args:
            size_bytes: How many.
            seconds: Longest wait.
        """
        if self.bytes + size_bytes > self.most_bytes:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self.bytes + size_bytes > self.most_bytes:
                        self._room.clear()
                        await self._room.wait()
        self.take(size_bytes)

    def give(self, size_bytes: int) -> None:
        """Count bytes off."""
        self.bytes -= size_bytes
        self._room.set()
