"""An event that came as Avro: decoded in full, so that what is published is known to fit.

Two forms say themselves which schema they were written with: Confluent's wire format, by the registry's id, and Avro's
single-object encoding, by the schema's fingerprint. A body without either is refused: it could be read as anything.
Only versions of the type's own subject count, so that strange ids cost the registry nothing.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from producers.gateway.errors import Problem
from tidemill.codec import MAGIC, PREFIX_BYTES
from tidemill.contracts.contract import Payload
from tidemill.outbox import single_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.codec import Codec
    from tidemill.contracts.registry import Registered

ASK_AGAIN_SECONDS = 5.0
P = TypeVar("P", bound=Payload)


class Versions(Protocol):
    """What is asked of the registry."""

    def versions(self, subject: str) -> Sequence[Registered]:
        """All versions of a subject, oldest first."""


class AvroBodies:
    """Decodes bodies; to be used from one event loop.

    Args:
        codec: Decodes.
        registry: Knows the versions of each type's schema.
    """

    def __init__(self, codec: Codec, registry: Versions) -> None:
        self._codec, self._registry = codec, registry
        self._ids: dict[str, tuple[float, dict[bytes, int]]] = {}

    async def decode(self, cls: type[P], body: bytes) -> P:
        """The event of a body.

        Raises:
            Problem: It says no schema of this type.
            DecodeError: It doesn't fit the schema that it says.
            RegistryError: The registry doesn't answer.
        """
        if body[:1] == bytes([MAGIC]) and len(body) >= PREFIX_BYTES:
            mark, rest = body[1:PREFIX_BYTES], body[PREFIX_BYTES:]
        elif body[: len(single_object.MARKER)] == single_object.MARKER and len(body) >= single_object.BODY_AT:
            mark, rest = single_object.unpacked(body)
        else:
            raise Problem(
                "malformed",
                f"The body says no schema that it was written with; it begins with {body[:5].hex(' ') or 'nothing'}.",
                hint="Send Confluent's wire format (00, id of 4 bytes) or Avro's single-object encoding (c3 01, "
                "fingerprint of 8 bytes).",
            )
        schema_id = await self._id_of(cls.__contract__.subject, mark)
        if schema_id is None:
            raise Problem(
                "malformed",
                f"No registered version of {cls.__contract__.type} has the "
                f"{'schema id' if len(mark) == 4 else 'fingerprint'} {_shown(mark)}.",
                hint="GET /schemas/{type} shows the schema that is expected.",
            )
        await asyncio.to_thread(self._codec.learn, schema_id)
        return self._codec.decode_cached(struct.pack(">bI", MAGIC, schema_id) + rest, cls)

    async def _id_of(self, subject: str, mark: bytes) -> int | None:
        asked_at, ids = self._ids.get(subject, (-ASK_AGAIN_SECONDS, {}))
        if mark not in ids and time.monotonic() - asked_at > ASK_AGAIN_SECONDS:
            ids = {}
            for version in await asyncio.to_thread(self._registry.versions, subject):
                ids[version.schema_id.to_bytes(4, "big")] = version.schema_id
                ids[single_object.fingerprint_of(version.schema)] = version.schema_id
            self._ids[subject] = (time.monotonic(), ids)
        return ids.get(mark)


def _shown(mark: bytes) -> str:
    return str(int.from_bytes(mark, "big")) if len(mark) == 4 else mark[::-1].hex()
