"""From a schema's fingerprint, as a row carries it, to its id in the registry, as Kafka's readers need it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from tidemill.codec import MAGIC
from tidemill.errors import SchemaNotRegistered
from tidemill.outbox.single_object import fingerprint_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.contracts.registry import Registered


class Versions(Protocol):
    """What is asked of the registry."""

    def versions(self, subject: str) -> Sequence[Registered]:
        """All versions of a subject, oldest first."""


class Schemas:
    """Gives values the registry's ids; shared by lanes.

    Args:
        registry: Where the schemas of the services are registered.
    """

    def __init__(self, registry: Versions) -> None:
        self._registry = registry
        self._prefixes: dict[tuple[str, bytes], bytes] = {}

    def wire(self, subject: str, value: bytes) -> bytes:
        """A row's value in the Confluent wire format.

        Args:
            subject: Where its schema is registered, without the namespace.
            value: In single-object encoding.

        Raises:
            DecodeError: It isn't.
            SchemaNotRegistered: No version of the subject has its fingerprint.
            RegistryError: The registry didn't answer.
        """
        fingerprint, body = unpacked(value)
        prefix = self._prefixes.get((subject, fingerprint))
        if prefix is None:
            # The newest of those that are alike, which have the same bytes.
            for version in self._registry.versions(subject):
                found = struct.pack(">bI", MAGIC, version.schema_id)
                self._prefixes[subject, fingerprint_of(version.schema)] = found
            prefix = self._prefixes.get((subject, fingerprint))
        if prefix is None:
            raise SchemaNotRegistered(
                f"No version of subject {subject!r} in the registry has the fingerprint {fingerprint[::-1].hex()}.",
                hint="Register the service's contracts: `tidemill schemas register`.",
            )
        return prefix + body
