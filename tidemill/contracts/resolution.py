"""Avro's schema resolution, explained: why data of one schema can't be read with another.

Walks reader's and writer's schema together, as in Avro 1.12, "Schema Resolution", and says for each mismatch where and
of what kind it is. Stricter than Avro in two points: a changed logical type is a mismatch, since the bytes would be
read but mean something else; and bytes don't become a string, since they may not be UTF-8. Computes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
    optional_of,
    short_name,
)

Kind: TypeAlias = Literal["field", "type", "logical", "null", "symbols", "size", "name"]

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}


@dataclass(frozen=True)
class Mismatch:
    """One place where the reader can't take what the writer wrote."""

    kind: Kind
    """What differs: the reader has a `field` that the writer lacks, without a default; a `type` with no promotion; a
    `logical` type; the writer may write `null`; the writer's `symbols` include unknown ones; a fixed `size`; a `name`.
    """
    path: str
    """The field, e.g. `renditions[].width`; empty for the record itself."""
    reader: AvroType
    writer: AvroType
    detail: str = ""
    """The symbols that are missing."""


def mismatches(reader: AvroType, writer: AvroType) -> list[Mismatch]:
    """Why a reader's schema can't read data of a writer's schema; empty if it can."""
    return list(_Walk().compare(reader, writer, ""))


class _Walk:
    """One comparison; remembers the pairs of records it is in, for types that contain themselves."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def compare(self, reader: AvroType, writer: AvroType, path: str) -> Iterator[Mismatch]:
        if isinstance(writer, Union):
            yield from self._written_union(reader, writer, path)
        elif isinstance(reader, Union):
            yield from self._one_of(reader, writer, path)
        elif isinstance(reader, Record) and isinstance(writer, Record):
            yield from self._records(reader, writer, path)
        elif isinstance(reader, Array) and isinstance(writer, Array):
            yield from self.compare(reader.items, writer.items, f"{path}[]")
        elif isinstance(reader, Map) and isinstance(writer, Map):
            yield from self.compare(reader.values, writer.values, f"{path}[]")
        elif isinstance(reader, Enum) and isinstance(writer, Enum):
            yield from self._enums(reader, writer, path)
        else:
            yield from self._scalars(reader, writer, path)

    def _written_union(self, reader: AvroType, writer: Union, path: str) -> Iterator[Mismatch]:
        for branch in writer.branches:
            if branch == Primitive("null") and not isinstance(reader, Union) and reader != branch:
                yield Mismatch("null", path, reader, writer)
            else:
                yield from self.compare(reader, branch, path)

    def _one_of(self, reader: Union, writer: AvroType, path: str) -> Iterator[Mismatch]:
        tried = [list(_Walk().compare(branch, writer, path)) for branch in reader.branches]
        if not all(tried):
            return
        inner = optional_of(reader)
        if inner is not None and type(inner) is type(writer):
            yield from self.compare(inner, writer, path)
        else:
            yield Mismatch("type", path, reader, writer)

    def _records(self, reader: Record, writer: Record, path: str) -> Iterator[Mismatch]:
        if (id(reader), id(writer)) in self._seen:
            return
        self._seen.add((id(reader), id(writer)))
        if not same_name(reader, writer):
            yield Mismatch("name", path, reader, writer)
        written = {field.name: field for field in writer.fields}
        for field in reader.fields:
            below = f"{path}.{field.name}" if path else field.name
            match = written_field(field, written)
            if match is not None:
                yield from self.compare(field.type, match.type, below)
            elif field.default is MISSING:
                yield Mismatch("field", below, field.type, writer)

    def _enums(self, reader: Enum, writer: Enum, path: str) -> Iterator[Mismatch]:
        if not same_name(reader, writer):
            yield Mismatch("name", path, reader, writer)
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if unknown and reader.default is None:
            yield Mismatch("symbols", path, reader, writer, ", ".join(map(repr, unknown)))

    def _scalars(self, reader: AvroType, writer: AvroType, path: str) -> Iterator[Mismatch]:
        if isinstance(reader, Fixed) and isinstance(writer, Fixed):
            if not same_name(reader, writer):
                yield Mismatch("name", path, reader, writer)
            if reader.size != writer.size:
                yield Mismatch("size", path, reader, writer)
            same_kind = True
        else:
            same_kind = isinstance(reader, Primitive) and isinstance(writer, Primitive) and _promotes(reader, writer)
        if not same_kind:
            yield Mismatch("type", path, reader, writer)
        elif _meaning(reader) != _meaning(writer):
            yield Mismatch("logical", path, reader, writer)


def written_field(field: Field, written: dict[str, Field]) -> Field | None:
    """The writer's field that a reader's field is read from: by its name, else by one of its aliases."""
    for name in (field.name, *field.aliases):
        if name in written:
            return written[name]
    return None


def _promotes(reader: Primitive, writer: Primitive) -> bool:
    return reader.kind == writer.kind or reader.kind in _PROMOTIONS.get(writer.kind, ())


def _meaning(type_: AvroType) -> object:
    if isinstance(type_, (Primitive, Fixed)) and type_.logical is not None:
        return type_.logical, type_.precision, type_.scale
    return None


def same_name(reader: Record | Enum | Fixed, writer: Record | Enum | Fixed) -> bool:
    """Whether a named type may be read as another: names match without namespaces, or an alias of the reader does."""
    return short_name(reader.name) == short_name(writer.name) or writer.name in reader.aliases
