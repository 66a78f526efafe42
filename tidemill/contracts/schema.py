"""Avro schemas as typed data: what the rest of this package walks over instead of raw JSON.

`read_schema` understands all of Avro 1.12's schema language and reports every fault it meets, with the path of the
place. Which of it a contract may use is another matter, see `rules.py`. Standard library only; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from tidemill.contracts.faults import did_you_mean

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
COMPLEX: Final = ("record", "enum", "array", "map", "fixed")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELD_PROPERTIES = ("name", "type", "doc", "default", "order", "aliases")


class Missing:
    """Stands for a default that isn't there: None is a default, too."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True)
class Primitive:
    """A primitive type, perhaps with a logical type over it."""

    kind: str
    logical: str | None = None
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Fixed:
    """A fixed number of bytes, perhaps with a logical type over it."""

    name: str
    size: int
    logical: str | None = None
    precision: int = 0
    scale: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Enum:
    """One of a list of symbols."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None
    doc: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Array:
    """A list of one type."""

    items: AvroType


@dataclass(frozen=True, eq=False)
class Map:
    """Text keys to values of one type."""

    values: AvroType


@dataclass(frozen=True, eq=False)
class Union:
    """One of several types."""

    branches: tuple[AvroType, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """A field of a record."""

    name: str
    type: AvroType
    default: Any = MISSING
    doc: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Record:
    """A record; compared by identity, because it may contain itself. `fields` is filled after its making."""

    name: str
    doc: str | None = None
    aliases: tuple[str, ...] = ()
    fields: list[Field] = field(default_factory=list)


AvroType: TypeAlias = Primitive | Fixed | Enum | Array | Map | Union | Record


class Report(Protocol):
    """Takes one fault: what was found and, if it isn't plain, what to do."""

    def __call__(self, found: str, hint: str | None = None) -> None: ...


def short_name(fullname: str) -> str:
    """The name without its namespace."""
    return fullname.rpartition(".")[2]


def optional_of(type_: AvroType) -> AvroType | None:
    """X, if the type is the union of null and X in either order; else None."""
    if isinstance(type_, Union) and len(type_.branches) == 2:
        first, second = type_.branches
        if first == Primitive("null"):
            return second
        if second == Primitive("null"):
            return first
    return None


def read_schema(schema: object, report: Report) -> tuple[AvroType, dict[str, AvroType]]:
    """The typed form of an Avro schema.

    Args:
        schema: JSON data.
        report: Called for each fault, with what was found and what to do. After a fault, the result serves only to
            find further faults.

    Returns:
        The type, and every named type in it by full name, in the order of definition.
    """
    reader = _Reader(report)
    return reader.read(schema, namespace="", path=""), reader.named


class _Reader:
    """Reads one schema; knows the names defined so far."""

    def __init__(self, report: Report) -> None:
        self.named: dict[str, AvroType] = {}
        self._report = report

    def fault(self, path: str, found: str, hint: str | None = None) -> None:
        self._report(f"field {path!r}: {found}" if path else found, hint)

    def read(self, schema: object, *, namespace: str, path: str) -> AvroType:
        if isinstance(schema, str):
            return self.reference(schema, namespace, path)
        if isinstance(schema, list):
            return self.union(schema, namespace, path)
        if not isinstance(schema, Mapping):
            self.fault(
                path, f"{schema!r} is not a type.", "A type is a name, an object with a 'type', or a list of types."
            )
            return Primitive("null")
        kind = schema.get("type")
        if isinstance(kind, (Mapping, list)):
            return self.read(kind, namespace=namespace, path=path)
        match kind:
            case "record" | "error":
                return self.record(schema, namespace, path)
            case "enum":
                return self.enum(schema, namespace, path)
            case "fixed":
                return self.fixed(schema, namespace, path)
            case "array" | "map":
                part = "items" if kind == "array" else "values"
                if part not in schema:
                    self.fault(path, f"the {kind} has no {part!r}.", f'Say what it holds: "{part}": "string".')
                inner = self.read(schema.get(part, "null"), namespace=namespace, path=f"{path}[]")
                return Array(inner) if kind == "array" else Map(inner)
            case str() if kind in PRIMITIVES:
                return Primitive(kind, *self.logical(schema, path))
            case str():
                return self.reference(kind, namespace, path)
            case _:
                self.fault(path, f"{dict(schema)!r} has no 'type'.", "Give it a type.")
                return Primitive("null")

    def reference(self, name: str, namespace: str, path: str) -> AvroType:
        if name in PRIMITIVES:
            return Primitive(name)
        fullname = name if "." in name or not namespace else f"{namespace}.{name}"
        known = self.named.get(fullname) or self.named.get(name)
        if known is None:
            words = [*PRIMITIVES, *COMPLEX, *map(short_name, self.named)]
            hint = did_you_mean(name, words) or "Define it where it is used first, in this same file."
            self.fault(path, f"unknown type {name!r}.", hint)
            return Primitive("null")
        return known

    def union(self, schema: list[object], namespace: str, path: str) -> AvroType:
        branches = tuple(self.read(branch, namespace=namespace, path=path) for branch in schema)
        kinds = [_branch_kind(branch) for branch in branches]
        if not branches:
            self.fault(path, "the union is empty.", "Name its types.")
        elif len(set(kinds)) != len(kinds):
            self.fault(path, f"the union has a type twice: {', '.join(kinds)}.", "Avro allows each type once.")
        elif "union" in kinds:
            self.fault(path, "a union holds a union.", "Write one list of types.")
        return Union(branches)

    def record(self, schema: Mapping[str, Any], namespace: str, path: str) -> AvroType:
        name = self.name(schema, namespace, path)
        record = Record(name, _text(schema.get("doc")), self.aliases(schema, name, path))
        self.define(name, record, path)
        fields = schema.get("fields")
        if not isinstance(fields, list):
            self.fault(path, f"record {short_name(name)} has no list of 'fields'.", "An empty list is allowed.")
            return record
        for position, raw in enumerate(fields):
            read = self.field(raw, name, path, position)
            if read is None:
                continue
            if any(read.name == other.name for other in record.fields):
                self.fault(_join(path, read.name), "there are two fields of this name.", "Rename one.")
            record.fields.append(read)
        return record

    def field(self, raw: object, record: str, path: str, position: int) -> Field | None:
        name = raw.get("name") if isinstance(raw, Mapping) else None
        if not isinstance(raw, Mapping) or not isinstance(name, str) or not _NAME.fullmatch(name):
            shown = repr(name) if isinstance(raw, Mapping) else repr(raw)
            self.fault(
                path, f"field number {position + 1} of {short_name(record)} has no legal name: {shown}.", _NAME_HINT
            )
            return None
        path = _join(path, name)
        for word in raw:
            # Avro lets any further property pass; one that looks like a slip of the pen would be lost in silence.
            if word not in _FIELD_PROPERTIES and (guess := did_you_mean(word, _FIELD_PROPERTIES)):
                self.fault(path, f"unknown property {word!r}.", guess)
        if "type" not in raw:
            self.fault(path, "it has no 'type'.", "Give it a type.")
        aliases = raw.get("aliases", [])
        if not isinstance(aliases, list) or not all(
            isinstance(alias, str) and _NAME.fullmatch(alias) for alias in aliases
        ):
            self.fault(path, f"'aliases' must be a list of names, found {aliases!r}.", _NAME_HINT)
            aliases = []
        namespace = record.rpartition(".")[0]
        type_ = self.read(raw.get("type", "null"), namespace=namespace, path=path)
        return Field(name, type_, raw.get("default", MISSING), _text(raw.get("doc")), tuple(aliases))

    def enum(self, schema: Mapping[str, Any], namespace: str, path: str) -> AvroType:
        name = self.name(schema, namespace, path)
        symbols = schema.get("symbols")
        if (
            not isinstance(symbols, list)
            or not symbols
            or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in symbols)
        ):
            self.fault(path, f"enum {short_name(name)} needs a list of symbols, found {symbols!r}.", _NAME_HINT)
            symbols = ["?"]
        elif len(set(symbols)) != len(symbols):
            self.fault(path, f"enum {short_name(name)} has a symbol twice: {symbols!r}.", "Remove one.")
        default = schema.get("default")
        if default is not None and default not in symbols:
            self.fault(
                path, f"enum {short_name(name)}: default {default!r} is not one of {symbols!r}.", "Take one of them."
            )
            default = None
        enum = Enum(name, tuple(symbols), default, _text(schema.get("doc")), self.aliases(schema, name, path))
        return self.define(name, enum, path)

    def fixed(self, schema: Mapping[str, Any], namespace: str, path: str) -> AvroType:
        name = self.name(schema, namespace, path)
        size = schema.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            self.fault(path, f"fixed {short_name(name)}: size must be a number of bytes from 1, found {size!r}.")
            size = 1
        fixed = Fixed(name, size, *self.logical(schema, path), aliases=self.aliases(schema, name, path))
        return self.define(name, fixed, path)

    def name(self, schema: Mapping[str, Any], namespace: str, path: str) -> str:
        name, own = schema.get("name"), schema.get("namespace", namespace)
        if not isinstance(own, str):
            self.fault(path, f"namespace must be text, found {own!r}.")
            own = ""
        fullname = f"{own}.{name}" if own and isinstance(name, str) and "." not in name else name
        if not isinstance(fullname, str) or not all(_NAME.fullmatch(part) for part in fullname.split(".")):
            self.fault(path, f"{fullname!r} is not a legal name for a {schema['type']}.", _NAME_HINT)
            return "Unnamed"
        return fullname

    def define(self, name: str, type_: AvroType, path: str) -> AvroType:
        if name in self.named and name != "Unnamed":
            self.fault(path, f"{name!r} is defined twice.", "Define it once and refer to it by its name after that.")
        self.named[name] = type_
        return type_

    def aliases(self, schema: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
        """Aliases of a named type as full names (Avro 1.12, "Aliases": relative to the namespace of the name)."""
        aliases = schema.get("aliases", [])
        if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
            self.fault(path, f"'aliases' must be a list of names, found {aliases!r}.")
            return ()
        namespace = name.rpartition(".")[0]
        return tuple(alias if "." in alias or not namespace else f"{namespace}.{alias}" for alias in aliases)

    def logical(self, schema: Mapping[str, Any], path: str) -> tuple[str | None, int, int]:
        logical = schema.get("logicalType")
        if logical is None:
            return None, 0, 0
        if not isinstance(logical, str):
            self.fault(path, f"logicalType must be text, found {logical!r}.")
            return None, 0, 0
        if logical != "decimal":
            return logical, 0, 0
        precision, scale = schema.get("precision"), schema.get("scale", 0)
        if not isinstance(precision, int) or not isinstance(scale, int) or not 0 <= scale <= precision or precision < 1:
            found = f"precision {precision!r} and scale {scale!r} don't make a decimal."
            self.fault(path, found, "Precision is the number of all digits, from 1; scale of those after the point.")
            return logical, 1, 0
        return logical, precision, scale


_NAME_HINT = "Names are letters, digits and underscores, and don't start with a digit."


def _are_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)


def _branch_kind(branch: AvroType) -> str:
    if isinstance(branch, Primitive):
        return branch.kind
    return branch.name if isinstance(branch, (Record, Enum, Fixed)) else type(branch).__name__.lower()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
