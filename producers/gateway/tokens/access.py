"""Who may do what: the token of a request, and whether it has the scope that its route needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from producers.gateway.errors import Problem
from producers.gateway.tokens.token import Token

if TYPE_CHECKING:
    from producers.gateway.gateway import Gateway
    from tidemill.contracts.contract import Payload

WORDS = {"read_jobs": "read jobs", "upload": "upload"}
MODULE_OF_HOUSE = "tidemill.events"
REQUESTS = ".requested"


def gateway_of(request: Request) -> Gateway:
    """The gateway that a request came to."""
    gateway: Gateway = request.app.state.gateway
    return gateway


async def authenticated(request: Request) -> Token:
    """The token of a request.

    Raises:
        Problem: 401 if there is none that holds; 429 if it has published more than its rate lets it.
    """
    gateway = gateway_of(request)
    token: Token | None = request.scope.get("tidemill.token")
    if token is None:
        token = await gateway.tokens.find(_bearer(request, needed=not gateway.tokens.is_open))
        # For the access log, and for whoever asks again.
        request.scope["tidemill.token"] = token
    return token


async def authorised(request: Request, scope: str) -> Token:
    """The token of a request, which has a scope.

    Args:
        request: The request.
        scope: `tokens.READ_JOBS` or `tokens.UPLOAD`.

    Raises:
        Problem: 401 without a token that holds; 403 without the scope; 429 if its rate is used up.
    """
    token = await authenticated(request)
    if not token.allows(scope):
        raise Problem(
            "forbidden",
            f"Token {token.name!r} may not {WORDS[scope]}.",
            hint=f"It needs the scope: `tidemill tokens create --{scope.replace('_', '-')} ...`.",
        )
    return token


async def publishing(request: Request, event_type: str) -> tuple[Token, type[Payload]]:
    """The token of a request that may publish a type, and the type's class.

    Raises:
        Problem: As `authorised`; 404 for a type that has no contract, to those who may publish anything at all.
    """
    token = await authenticated(request)
    with_room(request, token)
    return token, allowed_class(gateway_of(request), token, event_type)


def with_room(request: Request, token: Token) -> None:
    """Refuse a request whose token has published more than its rate lets it.

    Raises:
        Problem: 429, with when to come again.
    """
    wait_seconds = gateway_of(request).tokens.wait_seconds(token)
    if wait_seconds > 0:
        raise Problem(
            "rate",
            f"Token {token.name!r} may publish {token.rate:g} events a second, and has.",
            retry_after_seconds=wait_seconds,
        )


def allowed_class(gateway: Gateway, token: Token, event_type: str) -> type[Payload]:
    """The class of an event type that a token may publish.

    Raises:
        Problem: 403 where it may not.
        UnknownEventType: No contract has this name.
    """
    cls = gateway.events.by_type(event_type)
    internal = is_internal(gateway, cls)
    if token.may_publish(event_type, internal=internal):
        return cls
    if internal:
        raise Problem(
            "forbidden",
            f"{event_type} is an internal type: it tells what streams or the clock have done.",
            hint=f"A token may publish it that names it exactly: `tidemill tokens create --publish {event_type} ...`.",
        )
    raise Problem(
        "forbidden",
        f"Token {token.name!r} may not publish {event_type}; it may publish {', '.join(token.publish) or 'nothing'}.",
    )


def is_internal(gateway: Gateway, cls: type[Payload]) -> bool:
    """Whether a type is one that streams or the clock publish: whoever forges it fools them.

    Of Tidemill's own contracts all are but the requests; of others, those that `internal_types` names.
    """
    event_type = cls.__contract__.type
    if cls.__module__ == MODULE_OF_HOUSE and not event_type.endswith(REQUESTS):
        return True
    return gateway.internal_type(event_type)


def _bearer(request: Request, *, needed: bool) -> str:
    if not needed:
        return ""
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise Problem("bad-request", "The header Authorization is there more than once.")
    scheme, _, text = (values or [""])[0].partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
