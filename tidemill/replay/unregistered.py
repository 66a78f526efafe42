"""Which schema the events of a topic have for which none is registered: that of its last events.

So is a sandbox, into which another topic's events were published again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tidemill.decoder import WriterSchema
from tidemill.errors import DecodeError
from tidemill.replay.moments import Bound
from tidemill.replay.outermost import outermost

if TYPE_CHECKING:
    from tidemill.codec import SchemaIds
    from tidemill.replay.scanned import Scanned

LOOKED_AT = 64
"""Events of all partitions; garbage among them names no schema."""


def schema_of_last_events(scan: Scanned, registry: SchemaIds) -> WriterSchema | None:
    """The latest of the schemas that a topic's last events were written with; None where they name none.

    Args:
        scan: Of the topic; only its name matters.
        registry: Where schemas are registered, under whatever subject.

    Raises:
        RegistryError, BrokerError: One of them doesn't answer.
    """
    everything = replace(
        scan.query, start=Bound(), end=Bound(), keys=None, where=None, partitions=None, columns=("_schema_id",)
    )
    rows = outermost(scan.of(everything), LOOKED_AT, last=True).rows
    for schema_id in sorted({*rows.column("_schema_id").to_pylist()} - {0}, reverse=True):
        try:
            return WriterSchema(schema_id, registry.schema_by_id(schema_id))
        except DecodeError:
            continue
    return None
