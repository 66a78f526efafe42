"""A contract as JSON Schema (2020-12): what the body of an event must be like. Computes only.

It says what `tidemill.json_events` takes: decimals as text, bytes in base64, times in ISO 8601. Named types become
definitions, so that a record may hold itself.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tidemill.contracts.defaults import python_default
from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    read_schema,
    short_name,
)
from tidemill.errors import ContractError

if TYPE_CHECKING:
    from tidemill.contracts.contract import Contract

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PRINTABLE = "printable"
"""Our own `format`: text without control characters, line ends and the like (Python's `str.isprintable`)."""
MOST_KEY = 10_000
LARGEST_FLOAT = 3.4028234663852886e38

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_LOCAL = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"
_PLAIN: dict[str, dict[str, Any]] = {
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": "number", "minimum": -LARGEST_FLOAT, "maximum": LARGEST_FLOAT},
    "double": {"type": "number"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
}
_LOGICAL: dict[str | None, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date"},
    "time-millis": {"type": "string", "pattern": _TIME, "examples": ["12:30:00"]},
    "time-micros": {"type": "string", "pattern": _TIME, "examples": ["12:30:00"]},
    "timestamp-millis": {"type": "string", "format": "date-time"},
    "timestamp-micros": {"type": "string", "format": "date-time"},
    "local-timestamp-millis": {"type": "string", "pattern": _LOCAL, "examples": ["2026-11-22T12:30:00"]},
    "local-timestamp-micros": {"type": "string", "pattern": _LOCAL, "examples": ["2026-11-22T12:30:00"]},
}


def json_schema(contract: Contract) -> dict[str, Any]:
    """A contract's JSON Schema, complete in itself.

    Raises:
        ContractError: Its Avro schema can't be read.
    """
    root, definitions = parts(contract, "#/$defs/")
    schema: dict[str, Any] = {"$schema": DIALECT, "title": contract.type, **root}
    return {**schema, "$defs": definitions} if definitions else schema


def parts(contract: Contract, prefix: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A contract's JSON Schema, and the definitions that it refers to.

    Args:
        contract: The contract.
        prefix: What a reference begins with; the name of a definition follows.

    Returns:
        The schema of the event, and definitions by name: the type, a point, the Avro name without its namespace.

    Raises:
        ContractError: Its Avro schema can't be read.
    """
    faults: list[str] = []
    type_, _ = read_schema(contract.schema, lambda found, hint=None: faults.append(found))
    if faults or not isinstance(type_, Record):
        raise ContractError(f"The schema of {contract.type} can't be read: {' '.join(faults)}")
    writing = _Writing(contract.type, prefix)
    root = writing.record(type_)
    if writing.refers_to(type_):
        writing.definitions[writing.name_of(type_)] = root
        root = {"$ref": writing.reference(type_)}
    elif contract.key is not None:
        root["properties"][contract.key] = _key(root["properties"][contract.key])
    if type_.doc:
        root.setdefault("description", type_.doc)
    return root, writing.definitions


class _Writing:
    def __init__(self, event_type: str, prefix: str) -> None:
        self._event_type, self._prefix = event_type, prefix
        self.definitions: dict[str, dict[str, Any]] = {}
        self._referred: set[str] = set()

    def name_of(self, type_: Record | Enum | Fixed) -> str:
        return f"{self._event_type}.{short_name(type_.name)}"

    def reference(self, type_: Record | Enum | Fixed) -> str:
        return self._prefix + self.name_of(type_)

    def refers_to(self, type_: Record) -> bool:
        return self.name_of(type_) in self._referred

    def record(self, record: Record) -> dict[str, Any]:
        # Before its fields, which may hold it.
        self.definitions.setdefault(self.name_of(record), {})
        properties = {field.name: self.field(field) for field in record.fields}
        del self.definitions[self.name_of(record)]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [field.name for field in record.fields if field.default is MISSING],
            "additionalProperties": False,
        }
        return {"description": record.doc, **schema} if record.doc else schema

    def field(self, field: Field) -> dict[str, Any]:
        schema = dict(self.of(field.type))
        if field.doc:
            schema["description"] = field.doc
        if field.default is not MISSING:
            schema["default"] = _shown(python_default(field.type, field.default))
        return schema

    def of(self, type_: AvroType) -> dict[str, Any]:
        match type_:
            case Primitive() | Fixed() if type_.logical == "decimal":
                return _decimal(type_.precision, type_.scale)
            case Primitive() | Fixed() if type_.logical in _LOGICAL:
                return _LOGICAL[type_.logical]
            case Primitive():
                return _PLAIN[type_.kind]
            case Fixed():
                characters = 4 * math.ceil(type_.size / 3)
                return {**_PLAIN["bytes"], "minLength": characters, "maxLength": characters}
            case Enum():
                schema: dict[str, Any] = {"type": "string", "enum": list(type_.symbols)}
                return {**schema, "description": type_.doc} if type_.doc else schema
            case Array():
                return {"type": "array", "items": self.of(type_.items)}
            case Map():
                return {"type": "object", "additionalProperties": self.of(type_.values)}
            case Union():
                return {"anyOf": [self.of(branch) for branch in type_.branches]}
            case Record():
                name = self.name_of(type_)
                self._referred.add(name)
                if name not in self.definitions:
                    self.definitions[name] = self.record(type_)
                return {"$ref": self.reference(type_)}


def _key(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The field that is the Kafka key: no null, and text that a key may be."""
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch != _PLAIN["null"]]
    plain = {name: value for name, value in schema.items() if name not in ("anyOf", "type")}
    only = {**branches[0], **plain}
    if only.get("type") == "string" and "pattern" not in only and "enum" not in only and "format" not in only:
        only |= {"minLength": 1, "maxLength": MOST_KEY, "format": PRINTABLE}
    return only


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    whole = max(0, precision - scale)
    before = f"[0-9]{{1,{whole}}}" if whole else "0"
    after = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    largest = 10**whole
    return {
        "anyOf": [
            {"type": "string", "pattern": f"^-?{before}{after}$"},
            {"type": "number", "exclusiveMinimum": -largest, "exclusiveMaximum": largest, "multipleOf": 10.0**-scale},
        ],
        "examples": [f"{'1' * min(2, whole) or '0'}{'.' + '5' * min(2, scale) if scale else ''}"],
    }


def _shown(value: Any) -> Any:
    shown: Any = json.loads(json.dumps(value, default=_text))
    return shown


def _text(value: Any) -> str:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case UUID():
            return str(value)
    raise TypeError(f"a default of {type(value).__name__}")


@cache
def json_schema_text(contract: Contract) -> bytes:
    """`json_schema` as JSON."""
    return json.dumps(json_schema(contract), ensure_ascii=False, indent=2).encode()
