"""`GET /schemas`, `GET /schemas/{type}`, `GET /openapi.json`, and a page for people at `/`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from producers.gateway import media_types
from producers.gateway.events.openapi import event_paths
from producers.gateway.home_page import POLICY, home_page
from producers.gateway.json_schema import json_schema
from producers.gateway.openapi import document
from producers.gateway.tokens.access import gateway_of, is_internal

if TYPE_CHECKING:
    from producers.gateway.gateway import Gateway

SCHEMA = "application/schema+json"
KEEP = {"Cache-Control": "public, max-age=60"}


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/", home, methods=["GET"]),
        Route("/schemas", schemas, methods=["GET"]),
        Route("/schemas/{type}", schema, methods=["GET"]),
        Route("/openapi.json", openapi_document, methods=["GET"]),
    ]


async def home(request: Request) -> Response:
    """Where things are, for people."""
    gateway = gateway_of(request)
    return HTMLResponse(home_page(_listed(gateway)), headers={**KEEP, "Content-Security-Policy": POLICY})


async def schemas(request: Request) -> Response:
    """The event types that are taken."""
    return JSONResponse({"schemas": _listed(gateway_of(request))}, headers=KEEP)


async def schema(request: Request) -> Response:
    """One type's schema, as JSON Schema; as Avro for who asks so."""
    contract = gateway_of(request).events.by_type(request.path_params["type"]).__contract__
    accept = request.headers.get("accept", "")
    if media_types.AVRO in accept:
        return Response(
            contract.schema_json, headers={**KEEP, "Vary": "Accept"}, media_type="application/vnd.apache.avro+json"
        )
    text = json.dumps(json_schema(contract), ensure_ascii=False, indent=2)
    return Response(text, headers={**KEEP, "Vary": "Accept"}, media_type=SCHEMA)


async def openapi_document(request: Request) -> Response:
    """The OpenAPI document of this gateway; made when it is first asked for."""
    state = request.app.state
    if not hasattr(state, "openapi"):
        gateway = gateway_of(request)
        contracts = [(cls.__contract__, is_internal(gateway, cls)) for cls in gateway.events]
        made = document([event_paths(contracts), *(fragment() for fragment in state.fragments)])
        state.openapi = json.dumps(made, ensure_ascii=False).encode()
    return Response(state.openapi, headers=KEEP, media_type=media_types.JSON)


def _listed(gateway: Gateway) -> list[dict[str, Any]]:
    listed = []
    for cls in gateway.events:
        contract = cls.__contract__
        listed.append(
            {
                "type": contract.type,
                "doc": contract.schema.get("doc"),
                "key": contract.key,
                "internal": is_internal(gateway, cls),
                "schema": f"/schemas/{contract.type}",
                "publish": f"/events/{contract.type}",
            }
        )
    return listed


def openapi() -> dict[str, Any]:
    """This module's part of the OpenAPI document."""
    described: dict[str, Any] = {"type": "object"}
    return {
        "paths": {
            "/schemas": {
                "get": {
                    "summary": "The event types that are taken",
                    "operationId": "schemas",
                    "security": [],
                    "responses": {
                        "200": {"description": "All types", "content": {"application/json": {"schema": described}}}
                    },
                }
            },
            "/schemas/{type}": {
                "get": {
                    "summary": "One type's schema",
                    "operationId": "schema",
                    "security": [],
                    "parameters": [
                        {
                            "name": "type",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string"},
                            "example": "image.requested",
                        }
                    ],
                    "responses": {
                        "200": {
                            "description": "JSON Schema, or Avro's with `Accept: application/avro`",
                            "content": {
                                SCHEMA: {"schema": described},
                                "application/vnd.apache.avro+json": {"schema": described},
                            },
                        },
                        "404": {"$ref": "#/components/responses/Problem"},
                    },
                }
            },
        }
    }
