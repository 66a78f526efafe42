"""A row of the outbox: one message, as it will be in Kafka but for the schema's id. No database here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.errors import DecodeError
from tidemill.event import Event, Headers
from tidemill.outbox.ddl import LANES
from tidemill.outbox.single_object import packed
from tidemill.partitioning import partition_of
from tidemill.publisher.preparing import Preparer, UserHeaders


@dataclass(frozen=True, slots=True)
class Row:
    """One event on its way; the fields are the table's columns."""

    lane: int
    event_id: str
    type: str
    topic: str
    subject: str
    key: bytes | None
    value: bytes
    headers: str

    def values(self) -> dict[str, Any]:
        """The columns by name, in the table's order."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS: tuple[str, ...] = tuple(Row.__dataclass_fields__)


class _NoRegistry:
    """Stands for the registry where an encoder is made whose id is replaced afterwards."""

    def lookup_id(self, subject: str, schema_json: str) -> int:
        return 0

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        raise AssertionError("the outbox reads no events")


class Rows:
    """Makes rows of events; thread-safe.

    Args:
        settings: Namespace, source and size limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._preparer = Preparer(settings, Codec(_NoRegistry()))

    def make(
        self,
        payload: Payload,
        *,
        key: str | bytes | None = None,
        subject: str | None = None,
        cause: Event[Any] | None = None,
        headers: UserHeaders | None = None,
        id: str | None = None,
        delay: timedelta | None = None,
        at: datetime | None = None,
    ) -> Row:
        """The row of an event; arguments and errors as `Publisher.publish`, but for what only a broker knows."""
        message = self._preparer.prepare(
            payload, key=key, subject=subject, cause=cause, headers=headers, event_id=id, delay=delay, at=at
        )
        contract = type(payload).__contract__
        return Row(
            lane=lane_of(message.topic, message.key, message.id),
            event_id=message.id,
            type=contract.type,
            topic=message.topic,
            subject=contract.subject,
            key=message.key,
            value=packed(contract.schema_json, message.value),
            headers=headers_as_text(message.headers),
        )


def lane_of(topic: str, key: bytes | None, event_id: str) -> int:
    """The lane of a message: the same for all of a topic's key; anyone's where there is no key."""
    return partition_of(topic.encode() + b"\0" + (key if key is not None else event_id.encode()), LANES)


def headers_as_text(headers: Iterable[tuple[str, bytes]]) -> str:
    """Headers as JSON: pairs of name and text, or name, null and base64 where a value is no text."""
    pairs: list[list[str | None]] = []
    for name, value in headers:
        try:
            pairs.append([name, value.decode()])
        except UnicodeDecodeError:
            pairs.append([name, None, base64.b64encode(value).decode()])
    # As ASCII: a NUL in a value is no problem of the database's then.
    return json.dumps(pairs, separators=(",", ":"))


def headers_from_text(text: str) -> Headers:
    """What `headers_as_text` wrote, as it was.

    Raises:
        DecodeError: It didn't write this.
    """
    headers: Headers = []
    try:
        for name, value, *rest in json.loads(text):
            headers.append((str(name), base64.b64decode(rest[0]) if value is None else value.encode()))
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise DecodeError(f"The row's headers can't be read: {text[:80]!r}.") from error
    return headers
