"""May this schema follow that one? Confluent's compatibility levels, checked offline, with reasons a person can act on.

Two opinions, and either can refuse: Apache's `avro` package (`avro.compatibility`) decides by Avro's rules, and
`resolution.py` finds the place and the reason. The latter is needed because the package gives messages and places
without saying which belongs to which, ignores logical types, and doesn't resolve aliases in namespaces. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tidemill.contracts.policies import Compatibility
from tidemill.contracts.resolution import Mismatch, mismatches
from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    read_schema,
    short_name,
)
from tidemill.contracts.supported_types import describe
from tidemill.errors import ContractError

Direction: TypeAlias = Literal["backward", "forward"]
"""Backward: the new schema reads old events. Forward: the old schema reads new events."""


@dataclass(frozen=True)
class Version:
    """An earlier schema to compare with."""

    label: str
    """What to call it in messages, e.g. `version 3 in the registry`."""
    schema: Any
    """Its Avro schema as JSON data."""


@dataclass(frozen=True)
class Incompatibility:
    """One reason why a schema may not follow an earlier one."""

    against: str
    """Label of the earlier version."""
    direction: Direction
    field: str
    """Path of the field, e.g. `renditions[].width`; empty for the record itself."""
    reason: str
    """What was changed, whom it breaks, and what to do."""

    def __str__(self) -> str:
        return f"{self.reason} (against {self.against})"


def incompatibilities(schema: Any, earlier: Sequence[Version], level: Compatibility) -> list[Incompatibility]:
    """Reasons why a schema may not follow earlier ones; empty if it may.

    Args:
        schema: The new Avro schema as JSON data.
        earlier: Earlier versions, oldest first. Only the last counts, unless the level is transitive.
        level: Confluent's name of the level.

    Raises:
        ContractError: One of the schemas isn't Avro.
    """
    if level == "NONE" or not earlier:
        return []
    compared = earlier if level.endswith("_TRANSITIVE") else earlier[-1:]
    new = _read(schema, "the new schema")
    found = []
    for version in compared:
        old = _read(version.schema, version.label)
        if level.startswith(("BACKWARD", "FULL")):
            found += _reasons(new, old, "backward", version.label)
        if level.startswith(("FORWARD", "FULL")):
            found += _reasons(old, new, "forward", version.label)
    return found


def _read(schema: Any, label: str) -> AvroType:
    faults: list[str] = []

    def report(found: str, hint: str | None = None) -> None:
        faults.append(found)

    type_, _ = read_schema(schema, report)
    if faults:
        raise ContractError(f"{label} can't be compared: {' '.join(faults)}", hint="It must be a valid Avro schema.")
    return type_


def _reasons(reader: AvroType, writer: AvroType, direction: Direction, against: str) -> list[Incompatibility]:
    found = [
        Incompatibility(against, direction, mismatch.path, _explain(mismatch, direction))
        for mismatch in mismatches(reader, writer)
    ]
    if not found:
        found = [Incompatibility(against, direction, "", reason) for reason in _apache_opinion(reader, writer)]
    return found


_BREAKS = {
    "backward": "readers with the new schema can't read old events",
    "forward": "readers with the old schema can't read new events",
}


def _explain(mismatch: Mismatch, direction: Direction) -> str:
    place = f"field {mismatch.path!r}" if mismatch.path else "the record"
    # From here on in terms of time: what was there, and what is there now.
    backward = direction == "backward"
    old, new = (mismatch.writer, mismatch.reader) if backward else (mismatch.reader, mismatch.writer)
    match mismatch.kind, backward:
        case "field", True:
            change, advice = "was added without a default", "give it a default, or an alias if it was renamed"
        case "field", False:
            change, advice = "was removed, but it has no default in the old schema", "keep it"
        case "null", True:
            change, advice = "could be null and no longer can", "keep null among its types"
        case "null", False:
            change, advice = "can be null now", "add a new nullable field instead"
        case "symbols", True:
            change = f"lost {mismatch.detail} of {describe(new)}, which has no default symbol"
            advice = "keep the symbols, or give the enum a default"
        case "symbols", False:
            change = f"has {mismatch.detail} new in {describe(new)}, which had no default symbol"
            advice = "give the enum a default first, in a version of its own"
        case "size", _:
            change, advice = f"changed from {describe(old)} to {describe(new)}", "add a new field instead"
        case "name", _:
            change = f"holds {describe(new)}, which was {describe(old)}"
            advice = f"keep the name, or give it {_name(old)!r} among its aliases" if backward else "keep the name"
        case "logical", _:
            change, advice = f"changed its meaning from {describe(old)} to {describe(new)}", "add a new field instead"
        case _:
            change, advice = f"changed from {describe(old)} to {describe(new)}", "add a new field instead"
    return f"{place} {change}: {_BREAKS[direction]}; {advice}."


def _name(type_: AvroType) -> str:
    return short_name(type_.name) if isinstance(type_, (Record, Enum, Fixed)) else describe(type_)


def _apache_opinion(reader: AvroType, writer: AvroType) -> list[str]:
    """What the `avro` package has against it."""
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
    from avro.schema import parse

    parsed_reader, parsed_writer = (parse(json.dumps(_plain(type_, set()))) for type_ in (reader, writer))
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(parsed_reader, parsed_writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    places = ", ".join(sorted(result.locations))
    return [f"Apache Avro's checker refuses it: {'; '.join(sorted(result.messages))}, at {places}."]


def _plain(type_: AvroType, defined: set[str]) -> Any:
    """The schema with full names and without logical types, of which the `avro` package warns or knows nothing."""
    if isinstance(type_, (Record, Enum, Fixed)) and type_.name in defined:
        return type_.name
    match type_:
        case Primitive():
            return type_.kind
        case Array():
            return {"type": "array", "items": _plain(type_.items, defined)}
        case Map():
            return {"type": "map", "values": _plain(type_.values, defined)}
        case Union():
            return [_plain(branch, defined) for branch in type_.branches]
    defined.add(type_.name)
    plain: dict[str, Any] = {"type": type(type_).__name__.lower(), "name": type_.name}
    plain |= {"aliases": list(type_.aliases)} if type_.aliases else {}
    if isinstance(type_, Fixed):
        return plain | {"size": type_.size}
    if isinstance(type_, Enum):
        return plain | {"symbols": list(type_.symbols)} | ({"default": type_.default} if type_.default else {})
    fields = []
    for field in type_.fields:
        plain_field: dict[str, Any] = {"name": field.name, "type": _plain(field.type, defined)}
        plain_field |= {"aliases": list(field.aliases)} if field.aliases else {}
        fields.append(plain_field | ({} if field.default is MISSING else {"default": field.default}))
    return plain | {"fields": fields}
