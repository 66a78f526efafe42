"""Avro's single-object encoding: 0xC3 0x01, the schema's fingerprint, the body (Avro 1.12, "Single-object encoding").

The outbox keeps events in it: unlike the Confluent wire format it needs no id that only the registry knows, so that a
service's transaction depends on its database alone. The relay puts the registry's id in the fingerprint's place.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from fastavro.schema import fingerprint, to_parsing_canonical_form

from tidemill.codec import PREFIX_BYTES
from tidemill.errors import DecodeError

MARKER = b"\xc3\x01"
FINGERPRINT_BYTES = 8
BODY_AT = len(MARKER) + FINGERPRINT_BYTES


def fingerprint_of(schema: dict[str, Any]) -> bytes:
    """CRC-64-AVRO of a schema's parsing canonical form, little-endian, as it stands in the encoding.

    Schemas that differ in docs, defaults and logical types alone share it: their bytes are read alike.
    """
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))[::-1]


@lru_cache(maxsize=1024)
def prefix_of(schema_json: str) -> bytes:
    """What values of a contract's schema begin with."""
    return MARKER + fingerprint_of(json.loads(schema_json))


def packed(schema_json: str, wire: bytes) -> bytes:
    """A value in single-object encoding.

    Args:
        schema_json: Its schema.
        wire: The same value in the Confluent wire format, whatever its id.
    """
    return prefix_of(schema_json) + wire[PREFIX_BYTES:]


def unpacked(value: bytes) -> tuple[bytes, bytes]:
    """Fingerprint and body of a value.

    Raises:
        DecodeError: It isn't in single-object encoding.
    """
    if value[: len(MARKER)] != MARKER or len(value) < BODY_AT:
        raise DecodeError(
            f"The value isn't in Avro's single-object encoding (C3 01, fingerprint, body): it has {len(value)} bytes "
            f"and begins with {value[:4].hex(' ') or 'nothing'}."
        )
    return value[len(MARKER) : BODY_AT], value[BODY_AT:]
