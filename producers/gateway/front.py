"""What stands around each request: a bound on how many there are, headers of safety, a line of log, figures.

The line holds no header, no query, no body and no secret: who (the token's name), what (method, path), how it ended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from uuid_utils import uuid7

from producers.gateway.errors import Problem
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from producers.gateway.gateway import Gateway

SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer that doesn't say otherwise."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MOST_PATH = 200
ABANDONED = 499
"""As nginx writes it: the client went before the answer."""


class Front:
    """ASGI middleware.

    Args:
        app: What answers.
        gateway: Limits and figures.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app, self._gateway = app, gateway
        self._most = gateway.gateway_settings.requests
        self._log = get_logger("gateway.access") if gateway.gateway_settings.access_log else None
        self._fault_log = get_logger("gateway")
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = ABANDONED
        request_id = uuid7().hex[:32]

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SAFETY.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        self._now += 1
        metrics = self._gateway.metrics
        metrics.requests_now.inc()
        try:
            problem = self._refusal(scope)
            if problem is not None:
                await problem.response()(scope, receive, send_safely)
            else:
                await self._app(scope, receive, send_safely)
        except ClientDisconnect:
            status = ABANDONED
        except Exception as error:
            # Here the answer still gets its headers, and no other server is told of it by a raised error.
            self._fault_log.error("a fault of the gateway", path=shown_path(scope), exc_info=error)
            if status != ABANDONED:
                raise  # Its answer has begun: the connection is broken off.
            problem = Problem("internal", "Something failed in the gateway; its log says what.")
            await problem.response()(scope, receive, send_safely)
        finally:
            self._now -= 1
            metrics.requests_now.dec()
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            metrics.request(route, scope["method"], status, seconds)
            if self._log is not None:
                self._log.info("request", **_line(scope, status, seconds, request_id))

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._now - self._gateway.lasting > self._most:
            return Problem("busy", "There are too many requests at the same time.", retry_after_seconds=1)
        if self._gateway.tokens.is_open:
            # Without tokens, a page of the web could reach it by a name of its own that leads here (DNS rebinding).
            host = Headers(scope=scope).get("host", "")
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if name.lower() not in LOOPBACK_NAMES:
                return Problem("misdirected", "A gateway without tokens answers to localhost alone.")
        return None


def shown_path(scope: Scope) -> str:
    """A request's path for the log: as it was sent, percent-encoded, so that nothing in it reaches a terminal."""
    raw: bytes = scope.get("raw_path") or b""
    return raw[:MOST_PATH].decode("ascii", "backslashreplace")


def _line(scope: Scope, status: int, seconds: float, request_id: str) -> dict[str, Any]:
    token = scope.get("tidemill.token")
    client = scope.get("client")
    return {
        "method": scope["method"],
        "path": shown_path(scope),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "token": token.name if token is not None else None,
        "client": client[0] if client else None,
        "request_id": request_id,
    }
