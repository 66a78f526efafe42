"""What a person asks of an event that waits, and the answer: records on `schedule.delayed` beside the event itself.

A request lies in the partition of its event, so that the partition's owner takes both in one order. Its answer is its
tombstone, written in the same transaction as what was done. Computes only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tidemill.errors import DecodeError
from tidemill.event import Headers

REQUEST_KEY = b"request\0"
"""How a request's key begins; no event's id holds a NUL (`publisher.preparing`)."""
REQUEST = "tm_request"
ANSWER = "tm_answer"
REASON = "tm_reason"
OUTCOME = "tm_outcome"
AT = "tm_at"
BY = "tm_by"
TO = "tm_to_topic"
MOST_REASON_CHARACTERS = 500


class Wish(StrEnum):
    """What is to become of an event."""

    CANCEL = "cancel"
    NOW = "now"


class Answer(StrEnum):
    """What the owner of the partition did about it."""

    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"
    ABSENT = "absent"
    """No such event waited."""
    REFUSED = "refused"
    """The brokers don't take the event, so it waits on."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is still without an answer."""

    key: bytes
    wish: Wish
    event_id: bytes
    by: str
    """Who asks, e.g. `ann@host`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an event, as its tombstone tells."""

    kind: Answer
    """Cancelled or dispatched."""
    at: datetime | None
    by: str
    topic: str | None
    """Where it was dispatched to, with the namespace."""


def is_request(key: bytes) -> bool:
    """Whether a record's key is a request's."""
    return key.startswith(REQUEST_KEY)


def request_record(wish: Wish, event_id: str, by: str, now: datetime) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a new request."""
    value = json.dumps({"id": event_id, "by": by, "at": now.isoformat()}).encode()
    return REQUEST_KEY + uuid.uuid4().hex.encode(), value, [(REQUEST, wish.encode())]


def read_request(key: bytes, value: bytes, headers: Mapping[str, bytes | None]) -> Request:
    """The request that a record holds.

    Raises:
        DecodeError: It is none; says why.
    """
    try:
        wish = Wish((headers.get(REQUEST) or b"").decode())
        data = json.loads(value)
        return Request(key, wish, str(data["id"]).encode(), str(data["by"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DecodeError(f"A request on schedule.delayed can't be read: {type(error).__name__}: {error}.") from error


def answer_headers(answer: Answer, by: str, now: datetime, reason: str | None = None) -> Headers:
    """Headers of a request's tombstone."""
    headers = [(ANSWER, answer.encode()), (AT, now.isoformat().encode()), (BY, by.encode())]
    return headers if reason is None else [*headers, (REASON, reason[:MOST_REASON_CHARACTERS].encode())]


def outcome_headers(kind: Answer, by: str, now: datetime, topic: str | None = None) -> Headers:
    """Headers of an event's tombstone."""
    headers = [(OUTCOME, kind.encode()), (AT, now.isoformat().encode()), (BY, by.encode())]
    return headers if topic is None else [*headers, (TO, topic.encode())]


def read_outcome(headers: Mapping[str, bytes | None]) -> Outcome | None:
    """What an event's tombstone tells; None where another program has written it."""
    try:
        kind = Answer(_text(headers, OUTCOME))
    except ValueError:
        return None
    topic = _text(headers, TO)
    return Outcome(kind, _moment(headers), _text(headers, BY), topic or None)


def read_answer(headers: Mapping[str, bytes | None]) -> tuple[Answer, str] | None:
    """The answer that a request's tombstone holds, and its reason; None where another program has removed it."""
    try:
        return Answer(_text(headers, ANSWER)), _text(headers, REASON)
    except ValueError:
        return None


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")


def _moment(headers: Mapping[str, bytes | None]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(headers, AT))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
