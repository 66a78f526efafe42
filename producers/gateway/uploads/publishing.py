"""The event that an upload publishes: a request of the client's, whose source is the upload."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from producers.gateway.errors import Problem, problem_of
from producers.gateway.events.incoming import Incoming, traceparent_of
from producers.gateway.events.options import repeated_id
from producers.gateway.events.sending import send_once
from tidemill.errors import TidemillError
from tidemill.json_events import from_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from producers.gateway.gateway import Gateway
    from producers.gateway.tokens.token import Token
    from producers.gateway.uploads.wanted import WantedEvent
    from tidemill.contracts.contract import Payload
    from tidemill.publisher import Delivered

SOURCE = "source"
SHA256 = "source_sha256"
PLACEHOLDER = "file:///upload"


def check_event(cls: type[Payload], wanted: WantedEvent) -> None:
    """Look whether an event will do, before the upload that it is about is there.

    Args:
        cls: Its class.
        wanted: What is asked for.

    Raises:
        Problem: Its type takes no source.
        ContractError, InvalidEvent: It doesn't fit its contract.
    """
    event_of(cls, wanted, uri=PLACEHOLDER, sha256="0" * 64)
    _ = wanted.options


def event_of(cls: type[Payload], wanted: WantedEvent, *, uri: str, sha256: str) -> Payload:
    """The event of an upload; raises as `check_event` does.

    Args:
        cls: Its class.
        wanted: What is asked for.
        uri: Where the upload is.
        sha256: Its SHA-256; told as well where the contract has a field for it.
    """
    fields = {field["name"] for field in cls.__contract__.schema["fields"]}
    if SOURCE not in fields:
        raise Problem(
            "invalid",
            f"{wanted.type} has no field `source`, so it can't be about an upload.",
            hint="Publish image.requested or video.requested with an upload; other types by POST /events/{type}.",
        )
    about = {SOURCE: uri}
    if SHA256 in fields:
        # Replaces the client's own, which was about bytes that it may not have sent.
        about[SHA256] = sha256
    return from_json(cls, {**wanted.payload, **about})


async def publish(
    gateway: Gateway,
    request: Request,
    token: Token,
    event: Payload,
    wanted: WantedEvent,
    *,
    key: str | None,
    sha256: str,
) -> tuple[str, Delivered, bool]:
    """Publish the event of an upload that is in the store.

    Args:
        gateway: Publishes.
        request: For its trace.
        token: May publish the type.
        event: As `event_of` made it.
        wanted: What was asked for.
        key: The request's idempotency key.
        sha256: Of the upload.

    Returns:
        As `send_once`.

    Raises:
        Problem: It wasn't published, or it isn't known; the upload stays where it is, and the answer names it.
    """
    kept_as = None if key is None else (token.id, wanted.type, key)
    digest = hashlib.blake2b(digest_size=16)
    for part in (wanted.type, sha256, json.dumps([wanted.payload, wanted.said], sort_keys=True, default=str)):
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    incoming = Incoming(
        payload=event,
        id=None if key is None else repeated_id(token, wanted.type, key),
        traceparent=traceparent_of(request.headers.get("traceparent")),
        **wanted.options,
    )
    try:
        event_id, delivered, repeated = await send_once(gateway, incoming, kept_as, digest.digest())
    except TidemillError as error:
        raise _stays(problem_of(error), event) from error
    except Problem as problem:
        raise _stays(problem, event) from problem
    if not repeated:
        gateway.tokens.count(token, 1)
    return event_id, delivered, repeated


def _stays(problem: Problem, event: Payload) -> Problem:
    """The same refusal, that says where the upload is and how to go on."""
    uri = getattr(event, SOURCE)
    problem.members["uri"] = uri
    problem.hint = " ".join(
        text
        for text in (
            problem.hint,
            f"The upload itself is stored: send it again, or publish {type(event).__contract__.type} with its uri as "
            "the source.",
        )
        if text
    )
    return problem
