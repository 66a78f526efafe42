"""An Avro schema as one stable line of JSON: what is registered doesn't change with a file's layout.

Unlike Avro's own Parsing Canonical Form it keeps docs, defaults, aliases, logical types and the `tidemill` property.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_SCHEMA = (
    "type", "name", "namespace", "doc", "aliases", "logicalType", "precision", "scale", "size", "symbols", "items",
    "values", "default", "fields",
)  # fmt: skip
_FIELD = ("name", "type", "doc", "aliases", "default", "order")


def canonical_json(schema: object) -> str:
    """The schema as JSON without white space, each object's properties in a fixed order, unknown ones last."""
    return json.dumps(_ordered(schema, _SCHEMA), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _ordered(value: Any, order: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: (order.index(name) if name in order else len(order), name))
        return {name: _ordered(value[name], _FIELD if name == "fields" else _SCHEMA) for name in names}
    if isinstance(value, list):
        return [_ordered(item, order) for item in value]
    return value
