"""Events to bytes and back: Avro in the Confluent wire format (0x00, schema id as 4 bytes big-endian, Avro body).

Schema ids come from the registry and are cached for the life of the codec: an id never changes its meaning. What is
written is checked against the schema first (`validation`), what is read is made what the reader's schema says (by a
`decoder`). Decoding never talks to the network by itself where `decode_cached` is used: an event loop stays free.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tidemill.contracts.contract import Payload
from tidemill.encoding import compile_encoder
from tidemill.errors import DecodeError, InvalidEvent
from tidemill.validation import Mismatch, compile_check

if TYPE_CHECKING:
    from tidemill.decoder import WriterSchema

MAGIC = 0
PREFIX_BYTES = 5
UNKNOWN_ID_SECONDS = 30.0
"""How long an id that the registry doesn't know stays unknown before it is asked again."""
MOST_UNKNOWN_IDS = 10_000
"""Garbage can hold any id: what is remembered of it stays bounded."""

P = TypeVar("P", bound=Payload)


class SchemaIds(Protocol):
    """What the codec needs of a schema registry; `contracts.registry.Registry` has it."""

    def lookup_id(self, subject: str, schema_json: str) -> int:
        """Id of a schema under its subject, without the namespace; raises SchemaNotRegistered or RegistryError."""

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id; raises DecodeError where the id means nothing, or RegistryError."""


class SchemaNotCached(Exception):
    """The writer's schema has not been fetched yet."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(schema_id)
        self.schema_id = schema_id


class Codec:
    """Encodes and decodes events; thread-safe, one per registry.

    Args:
        ids: The schema registry.
    """

    def __init__(self, ids: SchemaIds) -> None:
        self._ids = ids
        self._lock = threading.Lock()
        self._encoders: dict[type, Callable[[Any], bytes]] = {}
        self._writers: dict[int, WriterSchema] = {}
        self._unknown: dict[int, tuple[float, DecodeError]] = {}
        self._decoders: dict[type, dict[bytes, Callable[[bytes], Any]]] = {}

    def encode(self, payload: Payload) -> bytes:
        """The bytes of an event's value.

        Args:
            payload: An instance of a generated event class.

        Raises:
            InvalidEvent: A field holds what the schema doesn't allow.
            SchemaNotRegistered: The registry doesn't know the schema under its contract's subject.
            RegistryError: The registry doesn't answer; only possible the first time for a class.
        """
        encoder = self._encoders.get(type(payload))
        if encoder is None:
            encoder = self.prepare(type(payload))
        return encoder(payload)

    def is_prepared(self, cls: type) -> bool:
        """Whether `encode` needs no answer of the registry for this class any more."""
        return cls in self._encoders

    def prepare(self, cls: type[Payload]) -> Callable[[Any], bytes]:
        """Fetch the schema id of a class and build its encoder; raises as `encode` does."""
        contract = cls.__contract__
        schema_id = self._ids.lookup_id(contract.subject, contract.schema_json)
        check = compile_check(contract.schema)
        write = compile_encoder(contract.schema)
        prefix = struct.pack(">bI", MAGIC, schema_id)
        event_type = contract.type

        def encode(payload: Any) -> bytes:
            try:
                record = payload.to_record()
            except (AttributeError, TypeError) as error:
                raise _unfit(payload) or error from None
            try:
                check(record)
            except Mismatch as mismatch:
                raise InvalidEvent(event_type, mismatch.path, mismatch.found, mismatch.expected) from None
            return prefix + write(record)

        with self._lock:
            self._encoders[cls] = encode
        return encode

    def decode(self, value: bytes | None, cls: type[P]) -> P:
        """The event of these bytes; asks the registry for a schema id that is new to this codec.

        Args:
            value: A Kafka message's value.
            cls: The generated event class to read it as.

        Raises:
            DecodeError: Not the wire format, an unknown schema id, or a body that doesn't fit its schema.
            RegistryError: The registry doesn't answer.
        """
        while True:
            try:
                return self.decode_cached(value, cls)
            except SchemaNotCached as missing:
                self.learn(missing.schema_id)

    def decode_cached(self, value: bytes | None, cls: type[P]) -> P:
        """As `decode`, but without the network.

        Raises:
            SchemaNotCached: Call `learn` with its `schema_id`, then try again.
            DecodeError: As in `decode`.
        """
        try:
            decoder = self._decoders[cls][value[:PREFIX_BYTES]]  # type: ignore[index]
        except (KeyError, TypeError):
            decoder = self._build_decoder(cls, value)
        result: P = decoder(value)  # type: ignore[arg-type]  # _build_decoder refuses None
        return result

    def learn(self, schema_id: int) -> None:
        """Fetch a writer's schema, once; an id that means nothing is remembered as such for a while.

        Raises:
            RegistryError: The registry doesn't answer.
        """
        with self._lock:
            if schema_id in self._writers or self._unknown_reason(schema_id) is not None:
                return
        # A service that only publishes never comes here, and need not load what reads.
        from tidemill.decoder import WriterSchema

        try:
            writer = WriterSchema(schema_id, self._ids.schema_by_id(schema_id))
        except DecodeError as error:
            self._remember_unknown(schema_id, error)
        else:
            with self._lock:
                self._writers[schema_id] = writer

    def _remember_unknown(self, schema_id: int, error: DecodeError) -> None:
        with self._lock:
            if len(self._unknown) >= MOST_UNKNOWN_IDS:
                self._unknown.clear()
            self._unknown[schema_id] = (time.monotonic() + UNKNOWN_ID_SECONDS, error)

    def _unknown_reason(self, schema_id: int) -> DecodeError | None:
        until, error = self._unknown.get(schema_id, (0.0, None))
        return error if time.monotonic() < until else None

    def _build_decoder(self, cls: type[Payload], value: bytes | None) -> Callable[[bytes], Any]:
        if value is None:
            raise DecodeError(f"There is no value (a tombstone); expected a {cls.__contract__.type}.")
        prefix = value[:PREFIX_BYTES]
        if len(prefix) < PREFIX_BYTES or prefix[0] != MAGIC:
            raise DecodeError(
                f"The value doesn't start with the Confluent wire format's 0x00 and a schema id of 4 bytes; "
                f"it starts with {value[:8].hex(' ') or 'nothing'} ({len(value)} bytes)."
            )
        schema_id = int.from_bytes(prefix[1:], "big")
        writer = self._writers.get(schema_id)
        if writer is None:
            reason = self._unknown_reason(schema_id)
            if reason is not None:
                raise DecodeError(reason.message, hint=reason.hint)
            raise SchemaNotCached(schema_id)
        from tidemill.decoder import compile_decoder

        decoder = compile_decoder(cls, writer, PREFIX_BYTES)
        with self._lock:
            self._decoders.setdefault(cls, {})[prefix] = decoder
        return decoder


def _unfit(payload: Payload) -> InvalidEvent | None:
    from tidemill.misfit import find_misfit

    mismatch = find_misfit(payload)
    if mismatch is None:
        return None
    return InvalidEvent(type(payload).__contract__.type, mismatch.path, mismatch.found, mismatch.expected)
