"""Event[T]: a typed payload and its envelope, and the envelope's form as Kafka headers.

Headers follow the CloudEvents 1.0 Kafka protocol binding, binary mode (`ce_*`), and W3C Trace Context (`traceparent`);
what those don't have starts with `tm_`. A received event reads its headers only when somebody asks for one: a handler
that looks at the payload alone pays for nothing else. This module must not import Kafka or Avro.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tidemill.errors import ContractError

SPEC_VERSION = b"1.0"
CONTENT_TYPE = b"application/avro"

ID = "ce_id"
TYPE = "ce_type"
SOURCE = "ce_source"
TIME = "ce_time"
SUBJECT = "ce_subject"
SPEC = "ce_specversion"
CONTENT = "content-type"
TRACEPARENT = "traceparent"
ROOT = "tm_root"
CAUSE = "tm_cause"
ATTEMPT = "tm_attempt"
DUE = "tm_due"
REPLAY = "tm_replay"
REDRIVE = "tm_redrive"
"""Of an event that was put back: the only stream that is to handle it (`runtime.redrive`)."""
REDRIVES = "tm_redrives"
"""How often it was put back."""

_RESERVED_PREFIXES = ("ce_", "tm_")
_RESERVED = frozenset({CONTENT, TRACEPARENT})

Headers = list[tuple[str, bytes]]
T = TypeVar("T")


class Message(Protocol):
    """What an event needs of a Kafka message; confluent_kafka.Message has it."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> Any: ...
    def value(self) -> Any: ...
    def headers(self) -> Any: ...
    def timestamp(self) -> tuple[int, int]: ...


class Position(NamedTuple):
    """Where an event lies in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Milliseconds since 1970 as the message carries it: when it was made, or appended, as its topic is set."""


class Event(Generic[T]):
    """One received event: `payload` as its contract types it, and the envelope as attributes.

    Attributes are computed from the headers when first read. Events of foreign producers, which may carry no headers at
    all, get an id derived from their position, so that it is the same whenever and wherever they are read again.

    Args:
        payload: The decoded value.
        key: The raw key.
        headers: The headers as they arrived.
        position: Topic, partition, offset and timestamp.
    """

    __slots__ = ("_headers", "_message", "_named", "_position", "payload")

    payload: T

    def __init__(self, payload: T, *, key: bytes | None, headers: Headers, position: Position) -> None:
        self.payload = payload
        self._message: Message | None = None
        self._position = (key, position)
        self._headers = headers
        self._named: dict[str, bytes] | None = None

    @classmethod
    def received(cls, payload: T, message: Message) -> Event[T]:
        """The event of a message; the message's headers stay unread until they are asked for."""
        event = cls.__new__(cls)
        event.payload = payload
        event._message = message
        event._named = None
        return event

    def __getstate__(self) -> tuple[T, bytes | None, Headers, Position]:
        return (self.payload, self.raw_key, self.raw_headers, self.position)

    def __setstate__(self, state: tuple[T, bytes | None, Headers, Position]) -> None:
        payload, key, headers, position = state
        self.__init__(payload, key=key, headers=headers, position=position)  # type: ignore[misc]

    def __repr__(self) -> str:
        position = self.position
        place = f"{position.topic}/{position.partition}/{position.offset}"
        return f"Event({self.payload!r}, id={self.id!r}, at={place})"

    @property
    def position(self) -> Position:
        """Topic, partition, offset and timestamp."""
        if self._message is None:
            return self._position[1]
        message = self._message
        return Position(
            message.topic() or "", message.partition() or 0, message.offset() or 0, max(message.timestamp()[1], 0)
        )

    @property
    def raw_key(self) -> bytes | None:
        """The key's bytes."""
        if self._message is None:
            return self._position[0]
        key: bytes | None = self._message.key()
        return key

    @property
    def raw_headers(self) -> Headers:
        """All headers as they arrived, ours among them."""
        if self._message is None:
            return self._headers
        return [(name, value if value is not None else b"") for name, value in headers_of(self._message)]

    def _header(self, name: str) -> str | None:
        named = self._named
        if named is None:
            # Of a name given twice the last counts, as in the Kafka clients' own lastHeader().
            named = self._named = dict(self.raw_headers)
        value = named.get(name)
        return None if value is None else value.decode("utf-8", "replace")

    @property
    def id(self) -> str:
        """Unique id of the event; the same when it is delivered, retried or replayed again."""
        return self._header(ID) or derived_id("/".join(map(str, self.position[:3])), "foreign")

    @property
    def type(self) -> str:
        """Event type, e.g. `image.requested`; the topic's name for foreign events."""
        return self._header(TYPE) or self.position.topic

    @property
    def source(self) -> str:
        """Who published it: a URI reference."""
        return self._header(SOURCE) or ""

    @property
    def time(self) -> datetime:
        """When it was published, aware, UTC."""
        text = self._header(TIME)
        if text:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                # A foreign producer's time that isn't RFC 3339 is worth no failure: Kafka's own timestamp stands in.
                moment = None
            if moment is not None:
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return datetime.fromtimestamp(self.position.timestamp_ms / 1000, UTC)

    @property
    def subject(self) -> str | None:
        """What the event is about, if its publisher said so."""
        return self._header(SUBJECT)

    @property
    def key(self) -> str | None:
        """The key as text; events of one key are handled in order."""
        raw = self.raw_key
        return None if raw is None else raw.decode("utf-8", "replace")

    @property
    def root(self) -> str:
        """Id of the event that started the job this one belongs to; its own id where it started one."""
        return self._header(ROOT) or self.id

    @property
    def cause(self) -> str | None:
        """Id of the event whose handler published this one."""
        return self._header(CAUSE)

    @property
    def attempt(self) -> int:
        """Which try this delivery is, from 1, counting tries before it was put back."""
        text = self._header(ATTEMPT)
        return int(text) if text and text.isascii() and text.isdigit() else 1

    @property
    def due(self) -> datetime | None:
        """When it was due, aware, where it was published with a delay; None where it wasn't, or can't be read."""
        text = self._header(DUE)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def replay(self) -> str | None:
        """Which replay brought it back, or None for an event that arrives for the first time."""
        return self._header(REPLAY)

    @property
    def traceparent(self) -> str | None:
        """W3C trace context, if any."""
        return self._header(TRACEPARENT)

    @property
    def headers(self) -> Mapping[str, bytes]:
        """The publisher's own headers, without the envelope's."""
        return {name: value for name, value in self.raw_headers if not is_reserved(name)}


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Headers of a Kafka message as they came; none where a name isn't UTF-8, so that they can't be read.

    confluent-kafka (2.16, confluent_kafka.c) answers such a name with an error and a list with a null pointer in it,
    which ends the process when it is touched. The error is only seen where the interpreter checks the result of a call,
    and only at the first one. So whoever reads headers does it here, and a message that has failed is not asked again.
    """
    if _UNREADABLE and _place(message) in _UNREADABLE:
        return []
    try:
        return list(_read_headers(message) or ())
    except (SystemError, UnicodeDecodeError):
        if len(_UNREADABLE) >= _MOST_UNREADABLE:
            # The oldest is long done: a worker holds far fewer messages in hand.
            _UNREADABLE.pop(next(iter(_UNREADABLE)), None)
        _UNREADABLE[_place(message)] = None
        return []


# Through methodcaller the result is always checked; since Python 3.11 a call by name may be specialised and isn't.
_read_headers = methodcaller("headers")
_MOST_UNREADABLE = 100_000
_UNREADABLE: dict[tuple[str | None, int | None, int | None], None] = {}


def _place(message: Message) -> tuple[str | None, int | None, int | None]:
    return message.topic(), message.partition(), message.offset()


def is_reserved(name: str) -> bool:
    """Whether a header belongs to the envelope."""
    return name.startswith(_RESERVED_PREFIXES) or name in _RESERVED


def user_headers(headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]) -> Headers:
    """A publisher's own headers, checked.

    Raises:
        ContractError: A name is empty or the envelope's, or a value is neither text nor bytes.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    checked: Headers = []
    for name, value in pairs:
        if not isinstance(name, str) or not name:
            raise ContractError(f"A header's name must be text, found {name!r}.")
        if is_reserved(name):
            raise ContractError(
                f"Header {name!r} belongs to the envelope.", hint="Use a name that doesn't start with ce_ or tm_."
            )
        if isinstance(value, str):
            value = value.encode()
        elif not isinstance(value, bytes):
            raise ContractError(f"Header {name!r} must be text or bytes, found {type(value).__name__}.")
        checked.append((name, value))
    return checked


def derived_id(parent: str, name: str) -> str:
    """An id that is always the same for the same parent and name (UUID version 5, RFC 9562).

    The outputs of a handler get their ids so: when its event runs twice, what it publishes has the same ids.

    Args:
        parent: Id of the event that caused this one.
        name: What tells it apart from its siblings, e.g. `image:0`.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{parent}\n{name}"))


_NAMESPACE = uuid.UUID("a3c5a0de-53f6-5a52-9f0e-6d1f8f5a7c11")
