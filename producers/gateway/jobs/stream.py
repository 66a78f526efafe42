"""A job as a stream of server-sent events: its state now, each change of it, its end.

Each event is the newest state, and its id is that state's version: a reader that comes again with the last one it had
misses nothing that still holds. A stream ends with its job, its reader, its reader's token, after an hour, or with the
gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from producers.gateway.jobs import sse
from producers.gateway.jobs.settings import JobSettings
from producers.gateway.jobs.watch import Followed, JobWatch, version_of
from tidemill.jobs import JobStatus

RETRY_SECONDS = 2.0
HEADERS = {
    "Content-Type": f"{sse.MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "no-store",
    # nginx would gather the events of many seconds.
    "X-Accel-Buffering": "no",
}


class JobStream(Response):
    """The answer to who follows a job.

    Args:
        watch: Who looks for it.
        job_id: The job.
        settings: Times.
        shown: What a status is told as, in one line.
        stopping: The gateway is.
        seen: The version that the reader has had already.
        is_allowed: Whether its reader's token still holds; asked as often as a silent stream gives a sign of life.
        at_end: Called when the answer is over, however.
    """

    def __init__(
        self,
        watch: JobWatch,
        job_id: str,
        settings: JobSettings,
        shown: Callable[[JobStatus], str],
        stopping: asyncio.Event,
        seen: str | None,
        is_allowed: Callable[[], Awaitable[bool]],
        at_end: Callable[[], None],
    ) -> None:
        super().__init__(headers=HEADERS)
        # Nothing is known of the length.
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        self._watch, self._job_id = watch, job_id
        self._settings = settings
        self._shown = shown
        self._stopping = stopping
        self._seen = seen
        self._is_allowed = is_allowed
        self._at_end = at_end
        self._state: str | None = None if seen is None else seen.partition("-")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there are no more."""
        try:
            leaving = asyncio.ensure_future(gone(receive))
            stopping = asyncio.ensure_future(self._stopping.wait())
            telling = asyncio.ensure_future(self._tell(send))
            try:
                await asyncio.wait((leaving, stopping, telling), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (leaving, stopping):
                    task.cancel()
                if not telling.done():
                    telling.cancel()
                await asyncio.gather(leaving, stopping, telling, return_exceptions=True)
            if not telling.cancelled() and (error := telling.exception()) is not None:
                if not isinstance(error, OSError | TimeoutError):
                    raise error
                # The reader has gone, or takes nothing; the server ends the connection, for the answer has no end.
                return
            if not leaving.done() or leaving.cancelled():
                with suppress(OSError, TimeoutError):
                    await self._send(send, b"", more=False)
        finally:
            self._at_end()

    async def _tell(self, send: Send) -> None:
        settings = self._settings
        ends_at = time.monotonic() + settings.stream_seconds
        look_at = time.monotonic() + settings.keep_alive_seconds
        async with asyncio.timeout(settings.send_seconds):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._send(send, sse.retry(RETRY_SECONDS))
        with self._watch.following(self._job_id) as followed:
            while (left := ends_at - time.monotonic()) > 0:
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + settings.keep_alive_seconds
                    if not await self._is_allowed():
                        return
                if (news := self._news(followed)) is not None:
                    await self._send(send, news)
                    if followed.status is not None and followed.status.is_finished and self._is_told(followed):
                        return
                elif not await followed.changed(min(settings.keep_alive_seconds, left)):
                    await self._send(send, sse.KEEP_ALIVE)

    def _news(self, followed: Followed) -> bytes | None:
        status = followed.status
        if status is None or self._is_told(followed):
            return None
        self._seen = version_of(status)
        name = "progress" if status.state == self._state else "state"
        if status.is_finished:
            name = status.state
        self._state = status.state
        return sse.event(name, followed.text(self._shown), self._seen)

    def _is_told(self, followed: Followed) -> bool:
        return followed.status is not None and version_of(followed.status) == self._seen

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        # Not wait_for(): up to Python 3.11 it may swallow the cancellation that ends a stream.
        async with asyncio.timeout(self._settings.send_seconds):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def gone(receive: Receive) -> None:
    """Return once nobody is there any more."""
    wait: Callable[[], Awaitable[Any]] = receive
    while (await wait())["type"] != "http.disconnect":
        pass
