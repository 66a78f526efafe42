"""Receivers for the tests of the notification stream: a real HTTP server that does as told and keeps what it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

Rule = Callable[["Received"], int | tuple[int, dict[str, str]]]


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    """Which it is at this path, from 1."""


class Receiver:
    """A server on this machine.

    Attributes:
        received: All requests so far.
        rule: What it answers: a status, or that and headers.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.rule: Rule = lambda request: 201
        self.port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def at(self, path: str) -> list[Received]:
        """What came to one path."""
        return [each for each in self.received if each.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep a request, and answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read(), len(self.at(request.path)) + 1)
        self.received.append(received)
        answer = self.rule(received)
        status, more = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status, headers=more, text="secret words of a stranger")


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver for the time of the block."""
    found = Receiver()
    server = web.Server(found.handle, access_log=None)  # type: ignore[arg-type]  # it is given web.Request
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()
