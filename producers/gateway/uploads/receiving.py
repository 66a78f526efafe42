"""Takes an upload's body: the file itself, or a form with the file in it; onto the disk, piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from producers.gateway.body import raw
from producers.gateway.errors import Problem
from producers.gateway.uploads.form import OVERHEAD_BYTES, Form
from producers.gateway.uploads.spool import Spool, too_large
from producers.gateway.uploads.wanted import Wanted

if TYPE_CHECKING:
    from starlette.requests import Request

    from producers.gateway.settings import GatewaySettings
    from producers.gateway.uploads.desk import UploadDesk

GATHERED_BYTES = 1_048_576
"""So much goes to the disk at a time: a thread for each 64 KiB of the network would cost more than the writing."""


async def receive(
    request: Request, settings: GatewaySettings, desk: UploadDesk, wanted: Wanted
) -> tuple[Spool, Wanted]:
    """Take the whole body.

    Args:
        request: The request.
        settings: How slow a body may be.
        desk: Limits, and threads to write in.
        wanted: What the request's head says.

    Returns:
        The file, which the caller closes, and what is wanted with a form's fields.

    Raises:
        Problem: It is no file that is taken, doesn't fit what was announced, or comes too slowly.
        ClientDisconnect: It was cut off.
    """
    content_type = request.headers.get("content-type", "application/octet-stream")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("media-type", "An upload is taken as it is, without Content-Encoding.")
    form = Form(content_type) if content_type.partition(";")[0].strip().lower() == "multipart/form-data" else None
    most_bytes = desk.settings.most_bytes + (0 if form is None else OVERHEAD_BYTES)
    length = request.headers.get("content-length", "")
    announced = int(length) if form is None and length.isascii() and length.isdigit() and len(length) < 19 else None
    spool = await desk.run(Spool, desk.spool_folder, desk.settings, announced)
    try:
        # A form's own digest; where the body is the file, the file's is the body's.
        whole = hashlib.sha256() if form is not None and wanted.body_sha256 else None
        async with asyncio.timeout(desk.settings.seconds):
            async for pieces in _gathered(raw(request, settings, most_bytes)):
                if whole is not None:
                    for piece in pieces:
                        whole.update(piece)
                if form is not None:
                    pieces = [part for piece in pieces for part in form.feed(piece)]
                if pieces:
                    await desk.run(spool.write, pieces)
        if form is not None:
            form.finish()
            wanted = wanted.with_fields(form.file_name, form.fields)
        await desk.run(spool.finish)
        _check(wanted.sha256, spool.sha256, "file")
        _check(wanted.body_sha256, spool.sha256 if whole is None else whole.hexdigest(), "body")
    except Problem as problem:
        spool.close()
        if problem.kind == "too-large" and "max_bytes" not in problem.members:
            raise too_large(desk.settings.most_bytes, None) from problem  # Counted before its bytes were looked at.
        raise
    except TimeoutError:
        spool.close()
        raise Problem(
            "slow", f"The upload took longer than {desk.settings.seconds:g} s.", headers={"Connection": "close"}
        ) from None
    except BaseException:
        spool.close()
        raise
    return spool, wanted


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    gathered: list[bytes] = []
    size_bytes = 0
    async for piece in pieces:
        gathered.append(piece)
        size_bytes += len(piece)
        if size_bytes >= GATHERED_BYTES:
            yield gathered
            gathered, size_bytes = [], 0
    if gathered:
        yield gathered


def _check(announced: str | None, found: str, what: str) -> None:
    if announced is not None and announced != found:
        raise Problem(
            "mismatch",
            f"The {what}'s SHA-256 is {found}, announced was {announced}.",
            hint="It was changed on the way, or the digest is another one's: send it again. Nothing was kept.",
        )
