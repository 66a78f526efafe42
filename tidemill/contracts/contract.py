"""A contract: one event type, its topic and its Avro schema; and what every generated event class offers.

Relies on nothing but the standard library. It must stay light (no fastavro, no pydantic, nothing of Kafka), because a
generated events module imports it, and a service pays for that at every start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

from tidemill.contracts.policies import DEAD_SUFFIX, Cleanup, Compatibility
from tidemill.errors import InvalidEvent


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What is agreed on for one event type.

    Made by `Contract.from_schema`, which checks everything, or by a generated module from values checked before.
    Names are bare: the namespace of `Settings` comes before topic and subject where they are used.
    """

    type: str
    """Name of the event type, e.g. `image.requested`: the CloudEvents `type`."""
    topic: str
    """Kafka topic that carries these events and no others."""
    key: str | None
    """Field whose value is the Kafka key, so that events with an equal value keep their order; None: no key."""
    partitions: int
    """Number of partitions the topic is made with."""
    retention: timedelta | None
    """How long the topic keeps events; None: forever."""
    cleanup: Cleanup
    """Kafka's `cleanup.policy`."""
    compatibility: Compatibility
    """Which changes of the schema are allowed, in Confluent's words."""
    schema_json: str
    """The Avro schema as it is registered: compact JSON in a fixed order, docs and the `tidemill` property included."""

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any], *, origin: str) -> Contract:
        """The contract that an Avro schema with a `tidemill` property describes.

        Args:
            schema: The parsed .avsc file.
            origin: Where it comes from, for messages: a file's name. If it ends in `.avsc`, it must be `<type>.avsc`.

        Raises:
            ContractError: Anything in it is wrong; all faults are named at once.
        """
        from tidemill.contracts.faults import raise_faults
        from tidemill.contracts.rules import examine

        examined = examine(schema, origin=origin)
        raise_faults(examined.faults, subject=origin)
        return cls(**examined.properties)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The Avro schema as JSON data. It is shared: don't change it."""
        schema: dict[str, Any] = json.loads(self.schema_json)
        return schema

    @property
    def dead_topic(self) -> str:
        """Topic of the events that could not be handled."""
        return self.topic + DEAD_SUFFIX

    @property
    def subject(self) -> str:
        """Subject of the schema in the registry (Confluent's TopicNameStrategy)."""
        return self.topic + "-value"

    def key_of(self, payload: object) -> str | None:
        """The Kafka key of one event.

        Args:
            payload: An instance of this contract's event class.

        Returns:
            The key field's value as text, or None if the contract has no key.

        Raises:
            InvalidEvent: The key field holds None: such an event would have no place in any order.
        """
        if self.key is None:
            return None
        value = getattr(payload, self.key)
        if value is None:
            raise InvalidEvent(self.type, self.key, value, "set, because it is the key")
        return value if isinstance(value, str) else str(value)


class Payload(Protocol):
    """What every generated event class offers; type of the payload in `Event[T]`."""

    __contract__: ClassVar[Contract]

    def to_record(self) -> dict[str, Any]:
        """The fields as fastavro writes them. It may be the instance's own `__dict__`: don't change it."""
        ...

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """An instance around what fastavro decoded. It takes `record` over: the caller must not use it any more."""
        ...
