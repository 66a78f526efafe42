"""`POST /uploads`: a file for the object store and, if wanted, the event that asks for something to be made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producers.gateway.answers import accepted
from producers.gateway.events.options import idempotency_key
from producers.gateway.tokens.access import allowed_class, authorised, gateway_of, with_room
from producers.gateway.tokens.token import UPLOAD
from producers.gateway.uploads.desk import UploadDesk, desk_of
from producers.gateway.uploads.openapi import DOCUMENT
from producers.gateway.uploads.publishing import check_event, event_of, publish
from producers.gateway.uploads.receiving import receive
from producers.gateway.uploads.spool import Spool, stored_name
from producers.gateway.uploads.wanted import Wanted, wanted_of

if TYPE_CHECKING:
    from producers.gateway.tokens.token import Token
    from tidemill.contracts.contract import Payload


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/uploads", post_upload, methods=["POST"])]


def openapi() -> dict[str, Any]:
    """The part of the OpenAPI document that describes them."""
    return DOCUMENT


async def post_upload(request: Request) -> Response:
    """Take a file: 201 once it is in the store; with an event 202, once Kafka has that as well."""
    token = await authorised(request, UPLOAD)
    wanted = wanted_of(request.query_params, request.headers)
    key = idempotency_key(request)
    cls = _event_class(request, token, wanted)
    desk = desk_of(request)
    desk.places.take(token.id)
    try:
        spool, wanted = await receive(request, gateway_of(request).gateway_settings, desk, wanted)
        try:
            return await _stored(request, token, desk, spool, wanted, cls or _event_class(request, token, wanted), key)
        finally:
            spool.close()
    finally:
        desk.places.leave(token.id)


def _event_class(request: Request, token: Token, wanted: Wanted) -> type[Payload] | None:
    """The class of the event that is asked for, which the token may publish; None where none is asked for yet."""
    if wanted.event is None:
        return None
    with_room(request, token)
    cls = allowed_class(gateway_of(request), token, wanted.event.type)
    check_event(cls, wanted.event)
    return cls


async def _stored(
    request: Request,
    token: Token,
    desk: UploadDesk,
    spool: Spool,
    wanted: Wanted,
    cls: type[Payload] | None,
    key: str | None,
) -> Response:
    name = stored_name(spool.sha256, spool.media_type)
    written = await desk.run(desk.store.put, name, spool.file, spool.media_type.name)
    answer = {
        "uri": written.uri,
        "sha256": spool.sha256,
        "size_bytes": spool.size_bytes,
        "media_type": spool.media_type.name,
        "name": wanted.name,
    }
    if cls is None or wanted.event is None:
        return JSONResponse(answer, 201, headers={"Cache-Control": "no-store"})
    event = event_of(cls, wanted.event, uri=written.uri, sha256=spool.sha256)
    event_id, delivered, repeated = await publish(
        gateway_of(request), request, token, event, wanted.event, key=key, sha256=spool.sha256
    )
    return accepted(event_id, delivered, repeated=repeated, upload=answer)
