"""Sends one file of a job, or a range of it: through the gateway, or by a link that a bucket has signed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from producers.gateway.errors import Problem
from producers.gateway.job_files import JobFile
from tidemill.store import Store

MOST_BYTES = 1 << 50
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {
    # Whatever the bytes are, a browser takes them for nothing else and runs none of them.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The name is made from the content; but whoever holds a cached one may have lost the right to it.
    "Cache-Control": "private, no-cache",
}


async def send_file(request: Request, file: JobFile, store: Store, link_seconds: float) -> Response:
    """The answer with a file.

    Args:
        request: For its headers `Range`, `If-Range` and `If-None-Match`.
        file: Which.
        store: Where it lies.
        link_seconds: How long a link to a bucket's object can be used.

    Raises:
        Problem: The range lies outside of the file.
        StoreError: It isn't there any more, or the store doesn't answer.
    """
    if store.home.scheme != "file":
        link = await asyncio.to_thread(store.link, file.uri, timedelta(seconds=link_seconds))
        if link is not None:
            return RedirectResponse(link, 307, headers={"Cache-Control": "no-store"})
    info = await asyncio.to_thread(store.head, file.uri)
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
    return StreamingResponse(_part(store, file.uri, start, end), status, headers)


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


def _part(store: Store, uri: str, start: int, end: int) -> Iterator[bytes]:
    left = end - start
    for chunk in store.chunks(uri, MOST_BYTES, start):
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return
