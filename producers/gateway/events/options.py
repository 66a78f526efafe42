"""What can be asked of an event beside its body: `key`, `subject`, `delay`, `at` of the query, `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from producers.gateway.errors import Problem
from producers.gateway.events.incoming import moment_of, text_of
from tidemill.contracts.duration import parse_duration
from tidemill.contracts.faults import did_you_mean
from tidemill.errors import ContractError
from tidemill.event import derived_id

if TYPE_CHECKING:
    from starlette.requests import Request

    from producers.gateway.tokens.token import Token

NAMES = ("key", "subject", "delay", "at")
IDEMPOTENCY_KEY = "idempotency-key"
MOST_KEY = 255
MOST_EVENT_KEY = 2_000


class Options(TypedDict, total=False):
    """Arguments of `Incoming`."""

    key: str
    subject: str
    delay: timedelta
    at: datetime


def query_options(request: Request, names: tuple[str, ...] = NAMES) -> Options:
    """The options of a request's query.

    Args:
        request: The request.
        names: Those that its route knows.

    Raises:
        Problem: One is unknown, there twice, or not what it should be.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names:
            known = f"It can be {', '.join(names)}." if names else "There are none here."
            raise Problem("bad-request", f"There is no option {name[:40]!r}.", hint=did_you_mean(name, names) or known)
        if name in found:
            raise Problem("bad-request", f"The option {name!r} is there more than once.")
        found[name] = value
    try:
        return options_of(found)
    except ContractError as error:
        raise Problem("bad-request", error.message, hint=error.hint) from error


def options_of(found: Mapping[str, Any]) -> Options:
    """Options of texts.

    Raises:
        ContractError: One isn't what it should be.
    """
    options: Options = {}
    if "key" in found:
        options["key"] = text_of(found["key"], "key", MOST_EVENT_KEY)
    if "subject" in found:
        options["subject"] = text_of(found["subject"], "subject")
    if "delay" in found:
        options["delay"] = _delay(found["delay"])
    if "at" in found:
        options["at"] = moment_of(found["at"], "option `at`")
    if "delay" in options and "at" in options:
        raise ContractError("An event is put off by `delay` or by `at`, found both.")
    return options


def idempotency_key(request: Request) -> str | None:
    """The key by which a repeat of a request is known, from its header; None without one.

    Raises:
        Problem: It is there twice, empty, too long or not of printable ASCII.
    """
    values = request.headers.getlist(IDEMPOTENCY_KEY)
    if not values:
        return None
    text = values[0].strip()
    if len(values) > 1 or not 1 <= len(text) <= MOST_KEY or not (text.isascii() and text.isprintable()):
        raise Problem(
            "bad-request",
            f"Idempotency-Key must be one text of 1 to {MOST_KEY} printable ASCII characters, found {text[:40]!r}.",
        )
    # As a structured field it is quoted (draft-ietf-httpapi-idempotency-key-header); most people don't.
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text


def repeated_id(token: Token, event_type: str, key: str) -> str:
    """The id of an event that has an idempotency key: the same on every gateway, however often it is sent.

    Args:
        token: Whose key it is: another token's is another event.
        event_type: Its type.
        key: The key.
    """
    return derived_id(token.name, f"gateway:{event_type}:{key}")


def _delay(text: object) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise ContractError(f"The delay {str(text)[:40]!r} can't be read: {error}") from error
    if found is None:
        raise ContractError("A delay has an end.", hint="Write it as 90s, 15m, 6h or 7d.")
    return found
