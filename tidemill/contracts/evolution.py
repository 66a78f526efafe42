"""Mends the defaults that fastavro gives fields which an event's writer didn't know.

fastavro hands out the schema's raw JSON there: a number for a timestamp, text for bytes, and one list or dict shared by
all events. A filler puts the Python value in its place, made anew for each event. Computes only; a codec makes one
filler for each pair of schemas, and calls it for each event of an older schema, before `from_record`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tidemill.contracts.defaults import python_default
from tidemill.contracts.resolution import same_name, written_field
from tidemill.contracts.schema import MISSING, Array, AvroType, Field, Map, Record, Union, read_schema
from tidemill.errors import ContractError

Filler: TypeAlias = Callable[[Any], None]
"""Mends one decoded value in place."""


def default_filler(reader: dict[str, Any], writer: dict[str, Any]) -> Filler | None:
    """What to call with each record that fastavro decoded from a writer's schema to a reader's.

    Args:
        reader: The contract's schema as JSON data.
        writer: The schema that the bytes were written with.

    Returns:
        A function that mends a decoded record in place; None if fastavro's result is right as it is.

    Raises:
        ContractError: One of them isn't an Avro schema.
    """
    fillers = _Fillers()
    filler = fillers.filler(_read(reader), _read(writer))
    return filler if fillers.mend_anything else None


def _read(schema: dict[str, Any]) -> AvroType:
    def report(found: str, hint: str | None = None) -> None:
        raise ContractError(f"Schema {schema.get('name')!r} is not Avro: {found}", hint=hint)

    return read_schema(schema, report)[0]


class _Fillers:
    """Builds fillers; knows those in work, for records that contain themselves."""

    def __init__(self) -> None:
        self._records: dict[tuple[int, int], _RecordFiller] = {}

    @property
    def mend_anything(self) -> bool:
        """Whether any record lacks a default that has to be mended; records within records alone are no reason."""
        return any(filler.missing for filler in self._records.values())

    def filler(self, reader: AvroType, writer: AvroType) -> Filler | None:
        """The filler for values read as one type and written as another."""
        if isinstance(writer, Union):
            return self._union(writer, lambda branch: self.filler(reader, branch))
        if isinstance(reader, Union):
            return self._union(reader, lambda branch: self.filler(branch, writer))
        match reader, writer:
            case Record(), Record() if same_name(reader, writer):
                return self._record(reader, writer)
            case Array(), Array():
                items = self.filler(reader.items, writer.items)
                return None if items is None else lambda value: _each(items, value) if isinstance(value, list) else None
            case Map(), Map():
                values = self.filler(reader.values, writer.values)
                if values is None:
                    return None
                return lambda value: _each(values, value.values()) if isinstance(value, dict) else None
        return None

    def _union(self, union: Union, of_branch: Callable[[AvroType], Filler | None]) -> Filler | None:
        # Each leaves alone what isn't of its type: a union of foreign schemas may have several, beside null.
        found = [filler for branch in union.branches if (filler := of_branch(branch)) is not None]
        return (lambda value: _all(found, value)) if found else None

    def _record(self, reader: Record, writer: Record) -> Filler | None:
        pair = (id(reader), id(writer))
        if pair in self._records:
            return self._records[pair]
        filler = self._records[pair] = _RecordFiller(reader)
        written = {field.name: field for field in writer.fields}
        for field in reader.fields:
            match = written_field(field, written)
            if match is None:
                if not _is_right_as_json(field):
                    filler.missing.append(field)
            elif (inner := self.filler(field.type, match.type)) is not None:
                filler.inner.append((field.name, inner))
        return filler if filler.missing or filler.inner else None


class _RecordFiller:
    """Mends one record."""

    def __init__(self, reader: Record) -> None:
        self.missing: list[Field] = []
        self.inner: list[tuple[str, Filler]] = []
        self._reader = reader

    def __call__(self, record: Any) -> None:
        if not isinstance(record, dict) or record.keys() != {field.name for field in self._reader.fields}:
            return
        for field in self.missing:
            record[field.name] = python_default(field.type, field.default)
        for name, filler in self.inner:
            filler(record[name])


def _is_right_as_json(field: Field) -> bool:
    """Whether the raw default is the value itself, and can't be changed by whoever gets it."""
    if field.default is MISSING:
        return True
    value = python_default(field.type, field.default)
    return type(value) is type(field.default) and not isinstance(value, (list, dict))


def _each(filler: Filler, values: Any) -> None:
    for value in values:
        filler(value)


def _all(fillers: list[Filler], value: Any) -> None:
    for filler in fillers:
        filler(value)
