"""`POST /events/{type}` and `POST /events`: one event a request; what comes as a batch goes on to `batch_routes`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from producers.gateway import media_types
from producers.gateway.answers import accepted
from producers.gateway.body import Body
from producers.gateway.errors import Problem
from producers.gateway.events.batch_routes import batch_answer, lines_answer
from producers.gateway.events.cloud_events import from_headers, from_object, is_binary
from producers.gateway.events.decoding import incoming_cloud_event, parsed
from producers.gateway.events.incoming import Incoming, traceparent_of
from producers.gateway.events.options import idempotency_key, query_options, repeated_id
from producers.gateway.events.sending import send_once
from producers.gateway.tokens.access import authenticated, gateway_of, publishing, with_room
from tidemill.errors import ContractError
from tidemill.json_events import from_json

if TYPE_CHECKING:
    from collections.abc import Hashable

    from producers.gateway.tokens.token import Token

TAKEN = (media_types.JSON, media_types.CLOUD_EVENT, media_types.CLOUD_EVENTS, media_types.LINES, media_types.AVRO)
TAKEN_WITHOUT_TYPE = (media_types.CLOUD_EVENT, media_types.CLOUD_EVENTS, media_types.LINES, media_types.JSON)


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/events/{type}", post_typed, methods=["POST"]),
        Route("/events", post_untyped, methods=["POST"]),
    ]


async def post_typed(request: Request) -> Response:
    """Publish what the body holds as events of the type in the path."""
    event_type: str = request.path_params["type"]
    token, cls = await publishing(request, event_type)
    media_type = media_types.media_type_of(request, TAKEN)
    if media_type == media_types.LINES:
        return await lines_answer(request, token, event_type)
    if media_type == media_types.CLOUD_EVENTS:
        return await batch_answer(request, token, event_type)
    if media_type == media_types.CLOUD_EVENT or is_binary(request.headers.keys()):
        return await _cloud_event(request, token, media_type, event_type)
    options = query_options(request)
    key = idempotency_key(request)
    gateway = gateway_of(request)
    with Body(gateway.waiting) as held:
        body = await held.whole(request, gateway.gateway_settings)
        if media_type == media_types.AVRO:
            payload = await gateway.avro.decode(cls, body)
        else:
            payload = from_json(cls, parsed(body))
        event = Incoming(
            payload=payload,
            id=None if key is None else repeated_id(token, event_type, key),
            traceparent=traceparent_of(request.headers.get("traceparent")),
            **options,
        )
        kept_as = None if key is None else (token.id, event_type, key)
        return await _answer(request, token, event, kept_as, _digest(request, body))


async def post_untyped(request: Request) -> Response:
    """Publish what the body holds as events of the types that it names."""
    token = await authenticated(request)
    with_room(request, token)
    media_type = media_types.media_type_of(request, TAKEN_WITHOUT_TYPE)
    if media_type == media_types.LINES:
        return await lines_answer(request, token, None)
    if media_type == media_types.CLOUD_EVENTS:
        return await batch_answer(request, token, None)
    if media_type == media_types.JSON and not is_binary(request.headers.keys()):
        raise Problem(
            "bad-request",
            "It isn't said which type of event this is.",
            hint="POST /events/{type}, or send a CloudEvent.",
        )
    return await _cloud_event(request, token, media_type, None)


async def _cloud_event(request: Request, token: Token, media_type: str, event_type: str | None) -> Response:
    if media_type not in (media_types.JSON, media_types.CLOUD_EVENT):
        raise Problem("media-type", f"A CloudEvent's data must be JSON here, found {media_type}.")
    if request.headers.getlist("idempotency-key"):
        raise Problem(
            "conflict",
            "A CloudEvent's repeats are known by its id and source; Idempotency-Key isn't taken with it.",
            hint="Leave one of the two out.",
        )
    options = query_options(request)
    gateway = gateway_of(request)
    with Body(gateway.waiting) as held:
        body = await held.whole(request, gateway.gateway_settings)
        data = parsed(body)
        try:
            found = (
                from_object(data) if media_type == media_types.CLOUD_EVENT else from_headers(request.headers.items())
            )
        except ContractError as error:
            raise Problem("malformed", error.message, hint=error.hint) from error
        if media_type == media_types.JSON:
            found.data = data
        event = incoming_cloud_event(gateway, token, found, event_type, options, request.headers.get("traceparent"))
        kept_as = (token.id, found.type, found.source, found.id)
        return await _answer(request, token, event, kept_as, _digest(request, body))


async def _answer(request: Request, token: Token, event: Incoming, kept_as: Hashable | None, digest: bytes) -> Response:
    gateway = gateway_of(request)
    event_id, delivered, repeated = await send_once(gateway, event, kept_as, digest)
    if not repeated:
        gateway.tokens.count(token, 1)
    return accepted(event_id, delivered, repeated=repeated)


def _digest(request: Request, body: bytes) -> bytes:
    """Of all that a request asks for: what a repeat must be like."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in (
        request.url.query.encode(),
        request.headers.get("content-type", "").encode(),
        *(f"{name}: {value}".encode() for name, value in sorted(request.headers.items()) if name.startswith("ce-")),
        body,
    ):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()
