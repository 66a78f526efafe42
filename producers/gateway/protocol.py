"""The HTTP of a gateway: uvicorn's httptools protocol, with bounds that it lacks.

A request's headers must come in time and not be too many; there are only so many connections; and where an answer is
given before the body has come in full, what still comes is read and thrown away for a moment: a connection that is
closed over unread bytes is reset, and the answer is lost with it (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from producers.gateway.errors import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from producers.gateway.settings import GatewaySettings

LINGER_SECONDS = 2.0


def protocol_for(settings: GatewaySettings) -> type[GatewayProtocol]:
    """The protocol with the bounds of a gateway's settings."""
    return type("GatewayProtocol", (GatewayProtocol,), {"settings": settings})


class GatewayProtocol(HttpToolsProtocol):
    """One connection."""

    settings: GatewaySettings

    _is_head = True
    """Whether a request's line and headers are still to come in full."""
    _head_bytes = 0
    _requests = 0
    """Requests that were there in full."""
    _head_timer: asyncio.TimerHandle | None = None
    _is_over = False
    """Whether nothing is read any more but to be thrown away."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        if len(self.connections) > self.settings.connections:
            self.refuse(Problem("busy", "There are too many connections.", retry_after_seconds=1))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._unset_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read."""
        if self._is_over:
            return
        if self._is_head and self._head_timer is None:
            self._await_head()
        requests = self._requests
        super().data_received(data)
        # Only what holds nothing but a part of a head: a head that is there in full is measured by itself.
        if self._is_head and self._requests == requests and not self._is_over:
            self._head_bytes += len(data)
            if self._head_bytes > self.settings.header_bytes:
                self.refuse(self._too_many())

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        self._is_head = False
        self._unset_head_timer()
        size_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size_bytes > self.settings.header_bytes:
            self.refuse(self._too_many())
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of its body is there."""
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is there in full."""
        if not self._is_over:
            super().on_message_complete()
        self._is_head, self._head_bytes = True, 0
        self._requests += 1

    def on_response_complete(self) -> None:
        """It is answered, perhaps before it is there in full."""
        if not self.pipeline and self.cycle is not None and self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what isn't HTTP."""
        if not self._is_over:
            self.refuse(Problem("bad-request", "This isn't a request of HTTP/1.1 that can be read."))

    def eof_received(self) -> None:
        """The other side has said all that it had to say."""
        if self._is_over:
            self.abandon()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem, without asking the application, and end the connection."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.abandon()  # Another answer is under way.
            return
        body = json.dumps(problem.body()).encode()
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
            **problem.headers,
        }
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.linger()

    def linger(self) -> None:
        """Say no more, and throw away what comes, until the other side ends it or a moment is over."""
        if self._is_over:
            self.abandon()
            return
        self._is_over = True
        self._unset_head_timer()
        transport: _Lingering = self.transport  # type: ignore[assignment]
        if transport.can_write_eof():
            transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.abandon)

    def abandon(self) -> None:
        """End the connection now."""
        transport: _Lingering = self.transport  # type: ignore[assignment]
        transport.end()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.settings.header_seconds, self._head_is_late)

    def _unset_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_over or self.transport.is_closing():
            return
        if self._head_bytes:
            seconds = self.settings.header_seconds
            self.refuse(Problem("slow", f"The request's headers weren't there after {seconds:g} s."))
        else:
            # Nothing was ever asked, so there is nothing to answer.
            self.abandon()

    def _too_many(self) -> Problem:
        return Problem(
            "headers", f"The request's line and headers have more than {self.settings.header_bytes:,} bytes."
        )


class _Lingering:
    """A transport whose `close` lingers where the request isn't there in full."""

    def __init__(self, transport: asyncio.Transport, protocol: GatewayProtocol) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        cycle = self._protocol.cycle
        if cycle is not None and cycle.response_complete and cycle.more_body and not self._transport.is_closing():
            self._protocol.linger()
        else:
            self._transport.close()

    def end(self) -> None:
        self._transport.close()
