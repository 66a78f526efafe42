"""`GET /healthz`, `/readyz` and `/metrics`: for whoever runs the gateway."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producers.gateway.health import Health
from producers.gateway.tokens.access import authenticated, gateway_of

NO_STORE = {"Cache-Control": "no-store"}


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


async def healthz(_: Request) -> Response:
    """That the process answers; if it doesn't, it should be started again."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


async def readyz(request: Request) -> Response:
    """Whether it can take events now; if it can't, none should be sent to it."""
    state = request.app.state
    if not hasattr(state, "health"):
        state.health = Health(state.gateway)
    faults = await state.health.faults()
    if faults:
        return JSONResponse({"status": "not ready", "faults": faults}, 503, {**NO_STORE, "Retry-After": "2"})
    return JSONResponse({"status": "ready"}, headers=NO_STORE)


async def metrics(request: Request) -> Response:
    """Figures for Prometheus; they name event types, so a token is needed, of whatever scope."""
    await authenticated(request)
    gateway = gateway_of(request)
    gateway.metrics.waiting_bytes.set(gateway.waiting.bytes)
    return Response(gateway.metrics.text(), headers=NO_STORE, media_type=CONTENT_TYPE_LATEST)


def openapi() -> dict[str, Any]:
    """This module's part of the OpenAPI document."""
    status: dict[str, Any] = {
        "type": "object",
        "properties": {"status": {"type": "string"}, "faults": {"type": "object"}},
        "required": ["status"],
    }

    def answer(text: str) -> dict[str, Any]:
        return {"description": text, "content": {"application/json": {"schema": status}}}

    return {
        "paths": {
            "/healthz": {
                "get": {
                    "summary": "Whether the process answers",
                    "operationId": "healthz",
                    "security": [],
                    "responses": {"200": answer("It does")},
                }
            },
            "/readyz": {
                "get": {
                    "summary": "Whether it can take events now",
                    "operationId": "readyz",
                    "security": [],
                    "responses": {"200": answer("It can"), "503": answer("It can't; says why")},
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Figures for Prometheus",
                    "operationId": "metrics",
                    "responses": {
                        "200": {
                            "description": "The figures",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        },
                        "401": {"$ref": "#/components/responses/Problem"},
                    },
                }
            },
        }
    }
