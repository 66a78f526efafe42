"""Answers that are kept for a while, so that a repeat with the same key isn't published again. Computes only.

One process knows its own answers. A repeat that reaches another one is published again, with the same id: it is the
same event to every reader that looks at ids.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from producers.gateway.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tidemill.publisher import Delivered


class Kept(NamedTuple):
    """What is known of a request that had a key."""

    digest: bytes
    """Of what it asked for."""
    until: float
    answer: asyncio.Future[tuple[str, Delivered]]
    """The event's id, and where it lies; it fails as the request did."""


class Repeats:
    """The answers of the last requests that had keys.

    Args:
        most: How many are kept; the oldest goes first.
        seconds: How long each is kept.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, digest: bytes, now: float) -> asyncio.Future[tuple[str, Delivered]] | None:
        """The answer of an earlier request with this key, which may still be on its way; None if there was none.

        Args:
            key: Token, type and key.
            digest: Of what is asked for now.
            now: The present in seconds, by a clock that only goes forward.

        Raises:
            Problem: The key was used for something else.
        """
        kept = self._kept.get(key)
        if kept is None or kept.until <= now:
            return None
        if kept.digest != digest:
            raise Problem(
                "reused-key",
                "This idempotency key came with another body or other options before.",
                hint="Take a new key for a new event; repeat an old one as it was.",
            )
        return kept.answer

    def begin(self, key: Hashable, digest: bytes, now: float) -> asyncio.Future[tuple[str, Delivered]]:
        """Keep the answer that is to come; set it, or call `forget`."""
        answer: asyncio.Future[tuple[str, Delivered]] = asyncio.get_running_loop().create_future()
        self._kept.pop(key, None)
        self._kept[key] = Kept(digest, now + self._seconds, answer)
        while self._kept and (len(self._kept) > self._most or next(iter(self._kept.values())).until <= now):
            self._kept.popitem(last=False)
        return answer

    def forget(self, key: Hashable, answer: asyncio.Future[tuple[str, Delivered]], error: Exception) -> None:
        """Nothing came of it: those who wait for this answer are told, and the next one begins anew."""
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # looked at, so that asyncio doesn't warn where nobody waits
        if (kept := self._kept.get(key)) is not None and kept.answer is answer:
            del self._kept[key]
