"""The tokens as a running gateway knows them: read anew every two seconds, so that a revoked one is soon refused.

A request is judged by what is in memory: one with a false token costs no query. While the database is away, what was
read last holds for a minute; then nobody is let in, since a token may have been revoked meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from producers.gateway.errors import Problem
from producers.gateway.tokens.rate import Bucket
from producers.gateway.tokens.store import TokensUnavailable
from producers.gateway.tokens.token import Token, is_same, parts_of
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from producers.gateway.tokens.store import TokenStore

STALE_SECONDS = 60.0
NOTE_SECONDS = 15.0
"""How often it is written down which tokens were used."""
FIRST_SIGHT_SECONDS = 0.5
"""A token that isn't known may be new: then it is looked for, but not more often than so."""

ANYBODY = Token(id="", name="", publish=("*",), read_jobs=True, upload=True, created=datetime(2026, 1, 1, tzinfo=UTC))
"""Who calls a gateway that was started with `--open`."""


class TokenBook:
    """Knows the tokens; to be used from one event loop.

    Args:
        store: Where they are; None lets everybody in.
        every_seconds: How often it is looked for changes.
        share: The part of each token's rate that is this process's: 1 / workers.
    """

    def __init__(self, store: TokenStore | None, every_seconds: float = 2.0, share: float = 1.0) -> None:
        self._store = store
        self._every_seconds = every_seconds
        self._share = share
        self._tokens: dict[str, tuple[Token, str]] = {}
        self._buckets: dict[str, tuple[Token, Bucket]] = {}
        self._read_at = -STALE_SECONDS
        self._used: dict[str, datetime] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._log = get_logger("gateway")

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in."""
        return self._store is None

    @property
    def is_stale(self) -> bool:
        """Whether they couldn't be read for so long that nobody is let in."""
        return self._store is not None and time.monotonic() - self._read_at > STALE_SECONDS

    async def open(self) -> None:
        """Read the tokens, and keep reading them.

        Raises:
            TokensUnavailable: They can't be read.
        """
        if self._store is not None:
            await self.read()
            self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Stop, and write down which tokens were used."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            await self._note()
        if self._store is not None:
            self._store.close()

    async def find(self, text: str) -> Token:
        """The live token that a text is.

        Raises:
            Problem: It is none, or it isn't known whether it still is.
        """
        if self._store is None:
            return ANYBODY
        parts = parts_of(text)
        if parts is None:
            raise _refused("This isn't a token of the gateway.")
        id_, secret = parts
        age = time.monotonic() - self._read_at
        if age > STALE_SECONDS or (id_ not in self._tokens and age > min(FIRST_SIGHT_SECONDS, self._every_seconds)):
            await self._read_for_a_request(age)
        token, hash_ = self._tokens.get(id_, (None, "0" * 64))
        # Compared in any case, so that the time doesn't tell which ids there are.
        if not is_same(secret, hash_) or token is None:
            raise _refused("This token isn't known.")
        now = datetime.now(UTC)
        if (state := token.state(now)) != "live":
            raise _refused(f"This token is {state}.")
        self._used[id_] = now
        return token

    def wait_seconds(self, token: Token) -> float:
        """How long a token has to wait before its next event; 0 if it needn't."""
        bucket = self._bucket(token)
        return 0.0 if bucket is None else bucket.wait_seconds(time.monotonic())

    def count(self, token: Token, events: int) -> None:
        """Count events of a token."""
        bucket = self._bucket(token)
        if bucket is not None:
            bucket.take(events, time.monotonic())

    def _bucket(self, token: Token) -> Bucket | None:
        if token.rate is None:
            return None
        known = self._buckets.get(token.id)
        if known is None or (known[0].rate, known[0].burst) != (token.rate, token.burst):
            rate = token.rate * self._share
            burst = (token.burst or max(1.0, token.rate)) * self._share
            known = self._buckets[token.id] = (token, Bucket(rate, burst, time.monotonic()))
        return known[1]

    async def _keep(self) -> None:
        note_at = time.monotonic() + NOTE_SECONDS
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.read()
                if time.monotonic() >= note_at:
                    note_at = time.monotonic() + NOTE_SECONDS
                    await self._note()
            except TokensUnavailable as error:
                self._log.warning("the tokens can't be read", error=str(error))

    async def _read_for_a_request(self, age: float) -> None:
        try:
            async with asyncio.timeout(2 * self._every_seconds):
                await self.read()
        except (TokensUnavailable, TimeoutError) as error:
            if age > STALE_SECONDS:
                raise Problem(
                    "unavailable",
                    "It isn't known which tokens hold: their table doesn't answer.",
                    retry_after_seconds=5,
                ) from error

    async def read(self) -> None:
        """Read them now.

        Raises:
            TokensUnavailable: They can't be read.
        """
        assert self._store is not None
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_at >= asked_at:
                return  # Somebody else has read them meanwhile.
            began = time.monotonic()
            found = await asyncio.to_thread(self._store.all)
            self._tokens = {token.id: (token, hash_) for token, hash_ in found}
            self._read_at = began

    async def _note(self) -> None:
        assert self._store is not None
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(self._store.used, used)
        except TokensUnavailable as error:
            self._log.warning("when tokens were used can't be written down", error=str(error))


def _refused(detail: str) -> Problem:
    return Problem(
        "no-token",
        detail,
        hint="Make one with `tidemill tokens create`, and send it as `Authorization: Bearer tmg_...`.",
        headers={"WWW-Authenticate": 'Bearer realm="tidemill"'},
    )
