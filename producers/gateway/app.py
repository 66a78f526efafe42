"""Puts a gateway together: its routes, what stands around each request, its beginning and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from producers.gateway import health_routes, schema_routes
from producers.gateway.errors import Problem, problem_of
from producers.gateway.events import routes as event_routes
from producers.gateway.front import Front, shown_path
from producers.gateway.gateway import Gateway
from producers.gateway.jobs import routes as job_routes
from producers.gateway.jobs.settings import load_job_settings
from producers.gateway.uploads import routes as upload_routes
from producers.gateway.uploads.settings import load_upload_settings
from tidemill.errors import TidemillError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from producers.gateway.settings import GatewaySettings
    from tidemill.config import Settings

PROVIDERS = (schema_routes, upload_routes, job_routes, health_routes)
"""Modules that have `routes()`, and `openapi()` for the part of the document that describes them."""


def make_app(settings: Settings, gateway_settings: GatewaySettings, *, gateway: Gateway | None = None) -> Starlette:
    """The ASGI application.

    Args:
        settings: Addresses of broker and registry.
        gateway_settings: Limits and times.
        gateway: Its parts, where they aren't to be made of the settings.

    Raises:
        ConfigError: A setting of uploads or jobs can't be used.
    """
    gateway = gateway or Gateway(settings, gateway_settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await gateway.open()
        try:
            yield
        finally:
            await gateway.close()

    app = Starlette(
        routes=_routes(),
        middleware=_around(gateway),
        lifespan=lifespan,
        exception_handlers={
            Problem: _problem,
            TidemillError: _tidemill_error,
            HTTPException: _http_exception,
        },
    )
    app.state.gateway = gateway
    app.state.upload_settings = load_upload_settings()
    app.state.job_settings = load_job_settings()
    # A path is what it is: a redirect would repeat a Host that anybody may have written.
    app.router.redirect_slashes = False
    app.state.fragments = [provider.openapi for provider in PROVIDERS]
    return app


def _routes() -> list[BaseRoute]:
    return [route for provider in (event_routes, *PROVIDERS) for route in provider.routes()]


def _around(gateway: Gateway) -> list[Middleware]:
    around = [Middleware(Front, gateway=gateway)]
    origins = gateway.gateway_settings.cors_origins
    if origins:
        around.append(
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["Location", "Retry-After", "X-Request-Id", "ETag"],
            )
        )
    return around


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _tidemill_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TidemillError)
    problem = problem_of(error)
    if problem.status >= 500:
        get_logger("gateway").warning(
            "refused", path=shown_path(request.scope), status=problem.status, error=str(error)
        )
    return problem.response()


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        return Problem(
            "method", f"{request.method} isn't allowed here; {allowed.get('Allow', 'nothing')} is.", headers=allowed
        ).response()
    if error.status_code == 404:
        return Problem("not-found", "There is nothing at this path.", hint="See / and /openapi.json.").response()
    return Problem("bad-request", str(error.detail)).response()
