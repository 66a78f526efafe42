"""From a payload to a Kafka message: topic, key, value and headers. No network but the registry, through the codec.

Everything that can be wrong with an event is found here, in the caller's own call, before anything is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from tidemill import delayed
from tidemill import event as envelope
from tidemill.codec import Codec
from tidemill.contracts.contract import Payload
from tidemill.delayed import due_time, packed
from tidemill.errors import ContractError, EventTooLarge
from tidemill.event import Event, Headers, user_headers

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.contracts.registry import Registry

MAX_KEY_BYTES = 10_000
"""A key longer than this is a mistake (a payload in the wrong place), and every client must hash all of it."""

MOST_ENVELOPE_BYTES = 24_576
"""No key with the envelope's own headers is larger: a key of 10,000 bytes, a subject of 2,000 characters, the rest."""

UserHeaders = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]


@dataclass(slots=True)
class Outgoing:
    """A message that is ready to be produced."""

    id: str
    topic: str
    key: bytes | None
    value: bytes
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """Bytes of key, value and headers, as `max_event_bytes` counts them."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value) + headers


class Preparer:
    """Makes messages of payloads; thread-safe.

    Args:
        settings: Namespace, source and size limit.
        codec: Encodes the payloads.
    """

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.codec = codec
        self.settings = settings
        self._max_bytes = settings.max_event_bytes
        self._delayed_topic = settings.qualified(delayed.TOPIC)
        self._surely_small_bytes = settings.max_event_bytes - MOST_ENVELOPE_BYTES - len(settings.source)
        self._types: dict[type, tuple[str, Headers]] = {}

    def prepare(
        self,
        payload: Payload,
        *,
        key: str | bytes | None = None,
        subject: str | None = None,
        cause: Event[Any] | None = None,
        headers: UserHeaders | None = None,
        event_id: str | None = None,
        delay: timedelta | None = None,
        at: datetime | None = None,
    ) -> Outgoing:
        """The message of a payload; of one that is due later, the message that waits on `schedule.delayed`.

        Args:
            payload: An instance of a generated event class.
            key: The key; None takes the field that the contract names.
            subject: What the event is about (CloudEvents `subject`).
            cause: The event that led to this one; passes on its job and its trace.
            headers: The publisher's own headers.
            event_id: Id to use, so that publishing again is the same event; None makes a UUIDv7.
            delay, at: How long from now, or when (aware), the event is due; neither, or the past, is at once.

        Raises:
            ContractError: Not an event class, or a key, id, header, delay or time that can't be used.
            InvalidEvent: A field holds what the schema doesn't allow.
            EventTooLarge: Larger than `max_event_bytes`.
            SchemaNotRegistered, RegistryError: As `Codec.encode`.
        """
        cls = type(payload)
        known = self._types.get(cls)
        if known is None:
            known = self._learn(cls)
        topic, fixed = known
        value = self.codec.encode(payload)
        identity = str(uuid7()) if event_id is None else _text(event_id, "id")
        now = datetime.now(UTC)
        envelope_headers = [
            *fixed,
            (envelope.ID, identity.encode()),
            (envelope.TIME, now.isoformat().encode()),
        ]
        if subject is not None:
            envelope_headers.append((envelope.SUBJECT, _text(subject, "subject").encode()))
        envelope_headers.append((envelope.ROOT, (cause.root if cause is not None else identity).encode()))
        if cause is not None:
            envelope_headers.append((envelope.CAUSE, cause.id.encode()))
        trace = current_traceparent() or (cause.traceparent if cause is not None else None)
        if trace:
            envelope_headers.append((envelope.TRACEPARENT, trace.encode()))
        if headers:
            envelope_headers += user_headers(headers)
        outgoing = Outgoing(identity, topic, self._key(payload, key), value, envelope_headers)
        if (headers or len(value) > self._surely_small_bytes) and outgoing.size_bytes > self._max_bytes:
            raise EventTooLarge(
                f"This {cls.__contract__.type} has {outgoing.size_bytes:,} bytes; "
                f"at most {self._max_bytes:,} are taken (max_event_bytes).",
                hint="Put large things into the object store and publish their URI.",
            )
        if delay is not None or at is not None:
            self._put_off(outgoing, due_time(delay, at, now))
        return outgoing

    def _put_off(self, outgoing: Outgoing, due: datetime | None) -> None:
        if due is None:
            return
        outgoing.headers = packed(outgoing.topic, outgoing.key, outgoing.headers, due)
        outgoing.topic, outgoing.key = self._delayed_topic, outgoing.id.encode()

    def _learn(self, cls: type) -> tuple[str, Headers]:
        contract = getattr(cls, "__contract__", None)
        if contract is None:
            raise ContractError(
                f"{cls.__qualname__} is not an event class.",
                hint="Publish an instance of a generated class: tidemill.events, or `tidemill schemas generate`.",
            )
        known = (
            self.settings.qualified(contract.topic),
            [
                (envelope.SPEC, envelope.SPEC_VERSION),
                (envelope.TYPE, contract.type.encode()),
                (envelope.SOURCE, self.settings.source.encode()),
                (envelope.CONTENT, envelope.CONTENT_TYPE),
            ],
        )
        self._types[cls] = known
        return known

    @staticmethod
    def _key(payload: Payload, key: str | bytes | None) -> bytes | None:
        if key is None:
            key = type(payload).__contract__.key_of(payload)
        if key is None:
            return None
        raw = key if isinstance(key, bytes) else _text(key, "key", MAX_KEY_BYTES).encode()
        if len(raw) > MAX_KEY_BYTES:
            raise ContractError(f"The key has {len(raw):,} bytes; at most {MAX_KEY_BYTES:,} are taken.")
        return raw


def preparer_for(settings: Settings | None, codec: Codec | None) -> tuple[Preparer, Registry | None]:
    """What a publisher prepares events with, where its caller has left some of it to the environment.

    Returns:
        The preparer, and the registry that was opened for it, to be closed with the publisher; None for a given codec.
    """
    if settings is None:
        from tidemill.config import load_settings

        settings = load_settings()
    registry = None
    if codec is None:
        # With it comes confluent-kafka's client, 340 ms of imports that a given codec saves.
        from tidemill.contracts.registry import Registry

        registry = Registry(settings)
        codec = Codec(registry)
    return Preparer(settings, codec), registry


def _text(value: object, what: str, most: int = 2_000) -> str:
    if not isinstance(value, str):
        raise ContractError(f"The {what} must be text, found {type(value).__name__}.")
    if not value or len(value) > most or not value.isprintable():
        raise ContractError(
            f"The {what} must be 1 to {most:,} printable characters, found {len(value):,}: {value[:40]!r}."
        )
    return value


def current_traceparent() -> str | None:
    """W3C trace context of the running OpenTelemetry span; None where the program doesn't use OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
