"""A request's body as it comes: its size, its pace and its inflated size are bounded before anybody looks at it."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request

from producers.gateway.errors import Problem

if TYPE_CHECKING:
    from producers.gateway.settings import GatewaySettings
    from producers.gateway.waiting import Waiting

PIECE_BYTES = 65_536
GZIP = 31
"""zlib's word for gzip alone, with its header and its checksum."""


class Body:
    """A body that is held in memory, whose bytes count among those that wait; use it as a context manager.

    Args:
        waiting: Where its bytes count.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._held = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go(self._held)

    def hold(self, size_bytes: int) -> None:
        """Count bytes until they are let go, at the latest at the end of the block; raises Problem as Waiting does."""
        self._waiting.take(size_bytes)
        self._held += size_bytes

    def let_go(self, size_bytes: int) -> None:
        """Count bytes off."""
        self._held -= size_bytes
        self._waiting.give(size_bytes)

    async def whole(self, request: Request, settings: GatewaySettings) -> bytes:
        """The whole body of one event.

        Raises:
            Problem: As `inflated`.
        """
        pieces = []
        async for piece in inflated(request, settings, settings.body_bytes):
            self.hold(len(piece))
            pieces.append(piece)
        return b"".join(pieces)


async def inflated(request: Request, settings: GatewaySettings, most_bytes: int) -> AsyncIterator[bytes]:
    """The body's bytes without their Content-Encoding, in pieces of at most 64 KiB where it is packed.

    Args:
        request: The request.
        settings: How slow it may be.
        most_bytes: Most bytes, packed and unpacked alike.

    Raises:
        Problem: 413 beyond that, 415 for an unknown encoding, 400 for bytes that aren't gzip, and as `raw`.
        ClientDisconnect: Nobody is there any more.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        async for piece in raw(request, settings, most_bytes):
            yield piece
        return
    if encoding not in ("gzip", "x-gzip"):
        raise Problem(
            "media-type",
            f"Content-Encoding {encoding[:40]!r} isn't taken.",
            hint="Send it as it is, or with gzip.",
            headers={"Accept-Encoding": "gzip"},
        )
    unpacking = _Gunzip(most_bytes)
    async for piece in raw(request, settings, most_bytes):
        for unpacked in unpacking.feed(piece):
            yield unpacked
    unpacking.end()


async def raw(request: Request, settings: GatewaySettings, most_bytes: int) -> AsyncIterator[bytes]:
    """The body's bytes as they were sent.

    Args:
        request: The request.
        settings: `body_seconds`, `body_bytes_per_second`.
        most_bytes: Most bytes.

    Raises:
        Problem: 413 beyond that, at once where the length says so; 408 where it comes too slowly.
        ClientDisconnect: Nobody is there any more.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most_bytes:
        raise too_large(most_bytes)
    received, began = 0, time.monotonic()
    more = True
    while more:
        try:
            async with asyncio.timeout(settings.body_seconds):
                message = await request.receive()
        except TimeoutError:
            raise _slow(f"Nothing came of the body for {settings.body_seconds:g} s.") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(piece)
        if received > most_bytes:
            raise too_large(most_bytes)
        slowest_seconds = settings.body_seconds + received / settings.body_bytes_per_second
        if more and time.monotonic() - began > slowest_seconds:
            raise _slow(f"The body comes more slowly than {settings.body_bytes_per_second:,} bytes a second.")
        if piece:
            yield piece


def too_large(most_bytes: int) -> Problem:
    """The answer to a body that is too large."""
    return Problem(
        "too-large",
        f"The body has more than {most_bytes:,} bytes, which is the most that is taken here.",
        hint="Put large things into the object store (POST /uploads) and publish their URI.",
        headers={"Connection": "close"},
    )


def _slow(detail: str) -> Problem:
    return Problem("slow", detail, headers={"Connection": "close"})


class _Gunzip:
    """Unpacks gzip piece by piece; what comes out is bounded in all, and in each step."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = self._left = most_bytes
        self._member = zlib.decompressobj(GZIP)
        self._is_begun = False

    def feed(self, packed: bytes) -> Iterator[bytes]:
        while packed:
            self._is_begun = True
            if self._member.eof:
                # Files that are put one behind another are a gzip file, too (RFC 1952, section 2.2).
                self._member = zlib.decompressobj(GZIP)
            try:
                unpacked = self._member.decompress(packed, PIECE_BYTES)
            except zlib.error as error:
                raise Problem("malformed", f"The body isn't gzip, as its Content-Encoding says: {error}.") from error
            self._left -= len(unpacked)
            if self._left < 0:
                raise too_large(self._most_bytes)
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if unpacked:
                yield unpacked

    def end(self) -> None:
        if self._is_begun and not self._member.eof:
            raise Problem("malformed", "The body is cut off: its gzip has no end.")
