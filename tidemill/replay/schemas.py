"""Which schema a topic's events are read as, and those that they were written with.

All versions are resolved to one: the latest that is registered for the topic, or the installed contract's where there
is none. Asks the registry; each id once.
"""

from __future__ import annotations

from typing import Protocol

from tidemill.codec import PREFIX_BYTES, SchemaIds
from tidemill.contracts.catalogue import installed_events
from tidemill.contracts.contract import Payload
from tidemill.contracts.policies import DEAD_SUFFIX
from tidemill.contracts.registry import Registered
from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError, SchemaNotRegistered, UnknownEventType

UNREGISTERED_ID = 0
"""Stands for the schema of an installed contract that isn't registered."""


class Schemas(SchemaIds, Protocol):
    """What a replay needs of a registry; `contracts.registry.Registry` has it."""

    def latest(self, subject: str) -> Registered | None:
        """The last version of a subject; None if there is none."""


def event_class(topic: str) -> type[Payload] | None:
    """The installed event class of a topic, or of the topic whose dead letters it holds; None where there is none."""
    try:
        return installed_events().by_topic(topic.removesuffix(DEAD_SUFFIX))
    except UnknownEventType:
        return None


def reader_schema(registry: Schemas, topic: str) -> WriterSchema:
    """The schema that all events of a topic are read as.

    Args:
        registry: Where schemas are registered.
        topic: Without the namespace.

    Raises:
        SchemaNotRegistered: None is registered, and no contract for the topic is installed.
        DecodeError: What is registered is no Avro.
        RegistryError: The registry doesn't answer.
    """
    subject = topic.removesuffix(DEAD_SUFFIX) + "-value"
    registered = registry.latest(subject)
    if registered is not None:
        return WriterSchema(registered.schema_id, registered.schema)
    cls = event_class(topic)
    if cls is None:
        raise SchemaNotRegistered(
            f"No schema is registered under {subject!r}, and no contract for the topic {topic!r} is installed.",
            hint='Without one only the columns that start with "_" can be read, e.g. columns=["_offset", "_value"].',
        )
    return WriterSchema(UNREGISTERED_ID, cls.__contract__.schema)


class Writers:
    """Schemas by the first bytes of an event's value; what makes no sense is remembered, too.

    Args:
        registry: Where schemas are registered.
    """

    def __init__(self, registry: Schemas) -> None:
        self._registry = registry
        self._known: dict[bytes, WriterSchema | DecodeError] = {}

    def of(self, prefix: bytes) -> WriterSchema:
        """The schema that values with this prefix were written with.

        Raises:
            DecodeError: The prefix isn't the wire format's, or the id in it means nothing.
            RegistryError: The registry doesn't answer.
        """
        found = self._known.get(prefix)
        if found is None:
            found = self._look_up(prefix)
            # Garbage can hold any id: what is remembered of it stays bounded.
            if len(self._known) >= MOST_PREFIXES:
                self._known.clear()
            self._known[prefix] = found
        if isinstance(found, DecodeError):
            raise DecodeError(found.message, hint=found.hint)
        return found

    def _look_up(self, prefix: bytes) -> WriterSchema | DecodeError:
        if len(prefix) < PREFIX_BYTES or prefix[0] != 0:
            shown = prefix.hex(" ") or "nothing"
            return DecodeError(f"The value doesn't start with 0x00 and a schema id of 4 bytes, but with {shown}.")
        schema_id = schema_id_of(prefix)
        try:
            return WriterSchema(schema_id, self._registry.schema_by_id(schema_id))
        except DecodeError as error:
            return error


MOST_PREFIXES = 10_000


def schema_id_of(prefix: bytes) -> int:
    """The schema id in a value's first bytes; 0 where they hold none."""
    return int.from_bytes(prefix[1:], "big") if len(prefix) == PREFIX_BYTES and prefix[0] == 0 else 0
