"""Payloads of letters: decoded by the schema that their writer had, whatever has become of the contract since."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from tidemill.codec import MAGIC, PREFIX_BYTES, Codec
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.registry import Registry
from tidemill.errors import DeadLetterError, DecodeError, TidemillError
from tidemill.json_values import json_data

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload

MOST_HEX_BYTES = 512
MOST_SCHEMAS = 10_000
"""That are remembered: garbage can hold any id."""


class Payloads:
    """Decodes and encodes payloads; ask it to close.

    Args:
        settings: The registry's address, namespace.
    """

    def __init__(self, settings: Settings) -> None:
        self._registry = Registry(settings)
        self._codec = Codec(self._registry)
        self._schemas: dict[int, Any] = {}
        """By id: the schema, or why there is none."""
        self._classes = {cls.__contract__.topic: cls for cls in installed_events()}

    def close(self) -> None:
        """Let go of the registry."""
        self._registry.close()

    def class_of(self, topic: str) -> type[Payload]:
        """The event class of a topic, without the namespace.

        Raises:
            DeadLetterError: None is installed.
        """
        found = self._classes.get(topic)
        if found is None:
            raise DeadLetterError(
                f"No contract of {topic!r} is installed here.", hint="Install the package that has its events."
            )
        return found

    def as_written(self, value: bytes | None) -> Any:
        """A payload as JSON data, as its writer had it.

        Raises:
            DecodeError: It can't be decoded.
            RegistryError: The registry doesn't answer.
        """
        from fastavro import schemaless_reader

        if value is None:
            raise DecodeError("There is no value (a tombstone).")
        if len(value) < PREFIX_BYTES or value[0] != MAGIC:
            raise DecodeError(
                "The value doesn't start with the Confluent wire format's 0x00 and a schema id of 4 bytes."
            )
        schema = self._schema(int.from_bytes(value[1:PREFIX_BYTES], "big"))
        try:
            body = BytesIO(value[PREFIX_BYTES:])
            record = schemaless_reader(body, schema, None)
        except Exception as error:  # fastavro raises anything on bytes from anywhere
            raise DecodeError(f"The value doesn't fit its schema ({type(error).__name__}).") from error
        if left := len(value) - PREFIX_BYTES - body.tell():
            raise DecodeError(f"The value doesn't fit its schema: {left} bytes are left over.")
        return json_data(record)

    def _schema(self, schema_id: int) -> Any:
        from fastavro import parse_schema

        if schema_id not in self._schemas:
            if len(self._schemas) >= MOST_SCHEMAS:
                self._schemas.clear()
            try:
                self._schemas[schema_id] = parse_schema(self._registry.schema_by_id(schema_id))
            except DecodeError as unknown:
                # Garbage may have the same id a million times over.
                self._schemas[schema_id] = unknown
        found = self._schemas[schema_id]
        if isinstance(found, DecodeError):
            raise DecodeError(found.message, hint=found.hint)
        return found

    def as_now(self, cls: type[Payload], value: bytes | None) -> Any:
        """A payload as JSON data, as its contract is now.

        Raises:
            DecodeError: It can't be read so.
            RegistryError: The registry doesn't answer.
        """
        return json_data(self._codec.decode(value, cls).to_record())

    def encoded(self, cls: type[Payload], data: Any) -> tuple[bytes, str | None]:
        """The bytes of JSON data, and the key that its contract gives it.

        Raises:
            ContractError: It doesn't fit the contract.
            RegistryError: The registry doesn't answer.
        """
        from tidemill.json_events import from_json

        payload = from_json(cls, data)
        return self._codec.encode(payload), cls.__contract__.key_of(payload)

    def shown(self, value: bytes | None) -> tuple[Any, str | None]:
        """A payload as JSON data, and None; or its bytes in hex, and why it can't be decoded."""
        try:
            return self.as_written(value), None
        except TidemillError as error:
            return hex_text(value), error.message


def hex_text(value: bytes | None) -> str | None:
    """Bytes in hex; of many only the first."""
    if value is None:
        return None
    shown = value[:MOST_HEX_BYTES].hex(" ")
    return shown if len(value) <= MOST_HEX_BYTES else f"{shown} ... ({len(value):,} bytes)"
