"""Every answer that says no, in one shape: RFC 9457, `application/problem+json`.

A program reads `type` and `status`, a person `detail` and `hint`. What is wrong on the gateway's own side is told
without addresses, paths or names of its surroundings; they are in its log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from tidemill.errors import (
    BrokerError,
    BrokerUnreachable,
    BufferFull,
    ContractError,
    DecodeError,
    EventTooLarge,
    InvalidEvent,
    NotAuthorized,
    NotDelivered,
    ObjectMissing,
    ObjectTooLarge,
    PublisherClosed,
    PublishError,
    RegistryError,
    SchemaNotRegistered,
    StatusUnavailable,
    StoreUnavailable,
    TidemillError,
    UnknownEventType,
    UnknownTopic,
)

MEDIA_TYPE = "application/problem+json"
AWAY_SECONDS = 5
"""When to come again, where nobody knows better."""

TITLES = {
    "bad-request": (400, "The request can't be read"),
    "malformed": (400, "The body can't be read"),
    "no-token": (401, "A token is needed"),
    "forbidden": (403, "The token doesn't allow it"),
    "not-found": (404, "There is no such thing"),
    "unknown-type": (404, "No contract has this event type"),
    "method": (405, "The method isn't allowed here"),
    "not-acceptable": (406, "Nothing acceptable can be answered"),
    "slow": (408, "The request came too slowly"),
    "conflict": (409, "It conflicts with what is there"),
    "length": (411, "The length is needed"),
    "too-large": (413, "It is too large"),
    "media-type": (415, "This media type isn't taken"),
    "range": (416, "The range can't be satisfied"),
    "invalid": (422, "The event doesn't fit its contract"),
    "mismatch": (422, "It isn't what was announced"),
    "reused-key": (422, "The idempotency key was used for something else"),
    "headers": (431, "The headers are too large"),
    "misdirected": (421, "This host isn't served here"),
    "rate": (429, "Too many at a time"),
    "internal": (500, "The gateway failed"),
    "unavailable": (503, "Something that is needed doesn't answer"),
    "busy": (503, "The gateway is full"),
    "unknown-fate": (503, "Whether the event was published isn't known"),
    "stopping": (503, "The gateway is stopping"),
}
"""Each kind of problem: its status and its title."""


class Problem(Exception):
    """An answer that says no; raise it anywhere below a route.

    Args:
        kind: A key of TITLES; gives status and title.
        detail: What was found and what was expected, a sentence.
        hint: What to do next, a sentence.
        retry_after_seconds: When to come again; becomes the header `Retry-After`.
        headers: Further headers of the answer.
        **members: Further members of the answer, such as `field` or `id`.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        hint: str | None = None,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = TITLES[kind]
        self.detail, self.hint = detail, hint
        self.headers = dict(headers or {})
        self.members = members
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))

    def body(self) -> dict[str, Any]:
        """The members of the answer (RFC 9457, section 3.1), ours behind the standard's."""
        shown: dict[str, Any] = {
            "type": f"urn:tidemill:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint:
            shown["hint"] = self.hint
        return {**shown, **self.members}

    def response(self) -> Response:
        """The answer."""
        return JSONResponse(self.body(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def unknown_fate(detail: str, **members: Any) -> Problem:
    """The answer where an event may have been published or not; never a refusal, so that nobody forgets it."""
    return Problem(
        "unknown-fate",
        detail,
        hint="Send it again with the same Idempotency-Key, so that it is the same event.",
        retry_after_seconds=AWAY_SECONDS,
        **members,
    )


def problem_of(error: TidemillError) -> Problem:
    """The answer that an error of the library means.

    Args:
        error: What was raised; one that is the gateway's own trouble should be logged as well (status 500 and more).
    """
    match error:
        case UnknownEventType():
            return Problem("unknown-type", error.message, hint=error.hint)
        case InvalidEvent():
            return Problem("invalid", error.message, hint=error.hint, field=error.field)
        case SchemaNotRegistered() | UnknownTopic():
            return Problem(
                "unavailable",
                "This event type isn't set up: its topic or its schema is missing.",
                hint="Whoever runs the gateway should run `tidemill topics apply` and `tidemill schemas register`.",
                retry_after_seconds=60,
            )
        case ContractError():
            return Problem("invalid", error.message, hint=error.hint)
        case DecodeError():
            return Problem("malformed", error.message, hint=error.hint)
        case EventTooLarge() | ObjectTooLarge():
            return Problem("too-large", error.message, hint=error.hint)
        case BufferFull():
            return Problem(
                "busy", "More events wait for Kafka than fit; this one was not taken.", retry_after_seconds=AWAY_SECONDS
            )
        case PublisherClosed():
            return Problem("stopping", "The gateway is stopping; the event was not taken.", retry_after_seconds=1)
        case NotDelivered() | BrokerUnreachable():
            return unknown_fate("Kafka hasn't acknowledged the event in time: it may be published or not.")
        case RegistryError():
            return Problem("unavailable", "The schema registry doesn't answer.", retry_after_seconds=AWAY_SECONDS)
        case StatusUnavailable():
            return Problem(
                "unavailable",
                "Where jobs are isn't known here: the table of jobs isn't there or doesn't answer.",
                hint="Whoever runs the gateway should run `tidemill tracker`, and set TIDEMILL_STATUS_URL for both.",
                retry_after_seconds=AWAY_SECONDS,
            )
        case ObjectMissing():
            return Problem("not-found", "The object isn't in the store any more.")
        case StoreUnavailable():
            return Problem("unavailable", "The object store doesn't answer.", retry_after_seconds=AWAY_SECONDS)
        case NotAuthorized() | BrokerError() | PublishError():
            return Problem(
                "unavailable", "Kafka refuses what the gateway asks of it.", retry_after_seconds=AWAY_SECONDS
            )
    return Problem("internal", "Something failed in the gateway; its log says what.")
