"""Sends one file of a job, or a range of it: through the gateway, or by a link that a bucket has signed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from producers.gateway.errors import Problem
from producers.gateway.jobs.files import JobFile
from producers.gateway.jobs.stream import gone
from tidemill.errors import StoreUnavailable

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from producers.gateway.jobs.desk import JobDesk

MOST_BYTES = 1 << 50
PIECE_BYTES = 65_536
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {
    # Whatever the bytes are, a browser takes them for nothing else and runs none of them.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The name is made from the content; but whoever holds a cached one may have lost the right to it.
    "Cache-Control": "private, no-cache",
}


async def send_file(request: Request, file: JobFile, desk: JobDesk) -> Response:
    """The answer with a file.

    Args:
        request: For its headers `Range`, `If-Range` and `If-None-Match`.
        file: Which.
        desk: Its store, and how long a link and a reader that takes nothing last.

    Raises:
        Problem: The range lies outside of the file.
        StoreError: It isn't there any more, or the store doesn't answer.
    """
    store = desk.store
    if store.home.scheme != "file":
        link = await desk.run(store.link, file.uri, timedelta(seconds=desk.settings.link_seconds))
        if link is not None:
            return RedirectResponse(link, 307, headers={"Cache-Control": "no-store"})
    info = await desk.run(store.head, file.uri)
    etag = f'"{file.sha256}"' if file.sha256 else f'"{info.size_bytes:x}-{round(info.modified.timestamp()):x}"'
    place = "inline" if file.is_shown else "attachment"
    headers = {
        **_HEADERS,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": file.media_type,
        "Content-Disposition": f'{place}; filename="{file.save_as}"',
    }
    if etag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": headers["Cache-Control"]})
    start, end, status = 0, info.size_bytes, 200
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range", etag) == etag:
        found = range_of(wanted, info.size_bytes)
        if found is not None:
            start, end = found
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size_bytes}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers)
    return SentPart(store.chunks(file.uri, MOST_BYTES, start), end - start, status, headers, desk)


def range_of(header: str, size_bytes: int) -> tuple[int, int] | None:
    """The part that a header `Range` asks for (RFC 9110, section 14).

    Args:
        header: Its value.
        size_bytes: Of the whole.

    Returns:
        The first byte and the one after the last; None for what is answered with the whole: several parts, other units.

    Raises:
        Problem: It lies outside.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start, end = int(found[1]), min(size_bytes, int(found[2]) + 1 if found[2] else size_bytes)
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise Problem(
            "range",
            f"The file has {size_bytes:,} bytes; {header.strip()[:80]!r} lies outside.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return start, end


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


class SentPart(Response):
    """Sends a part of an object while it is read; who takes nothing of it for long is left.

    Args:
        chunks: The object from the part's first byte on.
        size_bytes: Of the part.
        status: Of the answer.
        headers: Its headers, the length included.
        desk: Threads to read in, and times.
    """

    def __init__(
        self, chunks: Iterator[bytes], size_bytes: int, status: int, headers: dict[str, str], desk: JobDesk
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        self._chunks, self._left = chunks, size_bytes
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            StoreError: It can't be read, or has become shorter; what has begun is then broken off.
        """
        first = await self._desk.run(next, self._chunks, b"")
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await self._send_all(first, send, leaving)
        except (OSError, TimeoutError):
            return  # The reader has gone, or takes nothing: the server ends the connection.
        finally:
            leaving.cancel()

    async def _send_all(self, chunk: bytes, send: Send, leaving: asyncio.Future[None]) -> None:
        seconds = self._desk.settings.send_seconds
        while self._left and not leaving.done():
            if not chunk:
                raise StoreUnavailable("An object has become shorter while it was sent.")
            view = memoryview(chunk)[: self._left]
            for start in range(0, len(view), PIECE_BYTES):
                piece = bytes(view[start : start + PIECE_BYTES])
                self._left -= len(piece)
                async with asyncio.timeout(seconds):
                    await send({"type": "http.response.body", "body": piece, "more_body": self._left > 0})
            if self._left:
                chunk = await self._desk.run(next, self._chunks, b"")
