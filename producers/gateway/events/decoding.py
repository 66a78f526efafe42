"""From JSON to events: bodies, CloudEvents, and the lines of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from producers.gateway.errors import Problem
from producers.gateway.events.cloud_events import NOTHING, CloudEvent, from_object
from producers.gateway.events.incoming import Incoming, text_of, traceparent_of
from producers.gateway.events.options import MOST_KEY, NAMES, Options, options_of, repeated_id
from producers.gateway.tokens.access import allowed_class
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ContractError
from tidemill.json_events import from_json, parse_json

if TYPE_CHECKING:
    from producers.gateway.gateway import Gateway
    from producers.gateway.tokens.token import Token

Read = Callable[[int, Any], Incoming]
"""Takes a number in a batch, from 1, and what stands there; gives the event."""

LINE_MEMBERS = ("type", "data", *NAMES, "idempotency_key")


def incoming_cloud_event(
    gateway: Gateway,
    token: Token,
    found: CloudEvent,
    event_type: str | None,
    options: Options,
    traceparent: str | None,
) -> Incoming:
    """The event that a CloudEvent is.

    Args:
        gateway: Knows the types.
        token: May publish its type.
        found: The CloudEvent.
        event_type: The type that the path says; None where it says none.
        options: Of the query.
        traceparent: The request's own header, where the event has none.

    Raises:
        Problem: Another type than the path's, no data, or one that the token may not publish.
        ContractError: Its data doesn't fit its contract.
    """
    if event_type is not None and found.type != event_type:
        raise Problem("conflict", f"The path says {event_type}, the CloudEvent {found.type[:100]}.")
    for name, said in (("key", found.key), ("subject", found.subject)):
        if said is not None and name in options:
            raise Problem("conflict", f"The query says a {name}, and the CloudEvent says one as well.")
    if found.data is NOTHING:
        raise Problem("malformed", "The CloudEvent has no data.")
    cls = allowed_class(gateway, token, found.type)
    return Incoming(
        payload=from_json(cls, found.data),
        id=found.id,
        key=found.key if found.key is not None else options.get("key"),
        subject=found.subject if found.subject is not None else options.get("subject"),
        source=found.source,
        time=found.time,
        traceparent=found.traceparent or traceparent_of(traceparent),
        extensions=found.extensions,
        delay=options.get("delay"),
        at=options.get("at"),
    )


def parsed(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Problem: It isn't JSON.
    """
    try:
        return parse_json(body)
    except ContractError as error:
        raise Problem("malformed", error.message, hint=error.hint) from error


def typed_line(
    gateway: Gateway, token: Token, event_type: str, key: str | None, trace: str | None, options: Options
) -> Read:
    """Reads lines that are the fields of one type.

    Args:
        gateway: Knows the types.
        token: May publish the type.
        event_type: The type.
        key: Idempotency key of the whole batch: each line's follows from it.
        trace: W3C trace context of the whole batch.
        options: Of the query; they are each line's.
    """
    cls = allowed_class(gateway, token, event_type)

    def read(number: int, line: bytes) -> Incoming:
        return Incoming(
            payload=from_json(cls, parsed(line)),
            id=None if key is None else repeated_id(token, event_type, f"{key}#{number}"),
            traceparent=trace,
            **options,
        )

    return read


def untyped_line(gateway: Gateway, token: Token, key: str | None, trace: str | None) -> Read:
    """Reads lines that name their type: `{"type": ..., "data": {...}}`, or CloudEvents. Arguments as `typed_line`."""

    def read(number: int, line: bytes) -> Incoming:
        found = parsed(line)
        if type(found) is not dict:
            raise Problem("malformed", "A line is a JSON object with `type` and `data`.")
        if "specversion" in found:
            return cloud_event(gateway, token, None, trace, {})(number, found)
        for name in found:
            if name not in LINE_MEMBERS:
                hint = did_you_mean(name, LINE_MEMBERS) or f"It can have {', '.join(LINE_MEMBERS)}."
                raise Problem("malformed", f"A line has no member {name[:40]!r}.", hint=hint)
        event_type = found.get("type")
        if type(event_type) is not str or "data" not in found:
            raise Problem("malformed", "A line needs `type`, which is text, and `data`.")
        cls = allowed_class(gateway, token, event_type)
        own = found.get("idempotency_key")
        repeat = None if key is None else f"{key}#{number}"
        if own is not None:
            repeat = text_of(own, "idempotency_key", MOST_KEY)
        return Incoming(
            payload=from_json(cls, found["data"]),
            id=None if repeat is None else repeated_id(token, event_type, repeat),
            traceparent=trace,
            **options_of(found),
        )

    return read


def cloud_event(gateway: Gateway, token: Token, event_type: str | None, trace: str | None, options: Options) -> Read:
    """Reads the CloudEvents of a batch; `event_type` is the path's, if it says one."""

    def read(number: int, found: Any) -> Incoming:
        try:
            event = from_object(found)
        except ContractError as error:
            raise Problem("malformed", error.message, hint=error.hint) from error
        return incoming_cloud_event(gateway, token, event, event_type, options, trace)

    return read
