"""Bodies of many events: NDJSON, answered line by line while it is read, and batches of CloudEvents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from producers.gateway import media_types
from producers.gateway.body import Body, inflated
from producers.gateway.errors import Problem
from producers.gateway.events.bulk import Bulk
from producers.gateway.events.decoding import cloud_event, parsed, typed_line, untyped_line
from producers.gateway.events.incoming import traceparent_of
from producers.gateway.events.lines import LineAnswers, Lines
from producers.gateway.events.options import NAMES, idempotency_key, query_options
from producers.gateway.events.quick_lines import QuickLines
from producers.gateway.tokens.access import gateway_of

if TYPE_CHECKING:
    from producers.gateway.tokens.token import Token

GROUP = 1_000
"""Events that are sent together."""
SEND_SECONDS = 30.0


async def lines_answer(request: Request, token: Token, event_type: str | None) -> Response:
    """Publish the lines of an NDJSON body; the answer has a line for each.

    Args:
        request: The request.
        token: May publish the type that the path says.
        event_type: The type that the path says; None where the lines do.
    """
    options = query_options(request, () if event_type is None else NAMES)
    gateway = gateway_of(request)
    settings = gateway.gateway_settings
    key = idempotency_key(request)
    trace = traceparent_of(request.headers.get("traceparent"))
    read = (
        untyped_line(gateway, token, key, trace)
        if event_type is None
        else typed_line(gateway, token, event_type, key, trace, options)
    )
    pieces = inflated(request, settings, settings.batch_bytes)
    # What is wrong with the request as a whole is found with its first bytes, before the answer begins.
    first = await anext(pieces, b"")
    lines = Lines(_chained(first, pieces), Body(gateway.waiting), settings.body_bytes, settings.batch_lines)
    quick = None
    if event_type is not None and not options:
        contract = gateway.events.by_type(event_type).__contract__
        quick = QuickLines(contract, token, key, trace, gateway.settings.max_event_bytes)
    return LineAnswers(lines, Bulk(gateway, token, read, quick), SEND_SECONDS)


async def batch_answer(request: Request, token: Token, event_type: str | None) -> Response:
    """Publish the events of a body that is a JSON array of CloudEvents; the answer has an element for each."""
    options = query_options(request)
    gateway = gateway_of(request)
    settings = gateway.gateway_settings
    trace = traceparent_of(request.headers.get("traceparent"))
    with Body(gateway.waiting) as held:
        pieces = []
        async for piece in inflated(request, settings, settings.batch_bytes):
            held.hold(len(piece))
            pieces.append(piece)
        found = parsed(b"".join(pieces))
        del pieces
        if type(found) is not list:
            raise Problem("malformed", "A batch of CloudEvents is a JSON array.")
        if len(found) > settings.batch_lines:
            raise Problem("too-large", f"A batch has at most {settings.batch_lines:,} events, found {len(found):,}.")
        bulk = Bulk(gateway, token, cloud_event(gateway, token, event_type, trace, options))
        answers: list[bytes] = []
        for start in range(0, len(found), GROUP):
            group = await bulk.publish(start + 1, found[start : start + GROUP])
            answers += await bulk.finish(group)
    return Response(b"[" + b",".join(answers) + b"]", media_type=media_types.JSON)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in rest:
        yield piece
