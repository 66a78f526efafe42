"""Decodes event by event: slower, for every schema and whatever bytes come, and says which event is garbage and why.

Reads by `tidemill.reading`, as streams do, so that both agree on what an event is. fastavro comes in where schemas need
resolution or a union of several types is read, after the bytes have been walked over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from tidemill.codec import PREFIX_BYTES
from tidemill.contracts.evolution import default_filler
from tidemill.contracts.schema import Field, Record
from tidemill.decoder import WriterSchema
from tidemill.errors import ContractError, DecodeError
from tidemill.reading import NeedsResolution, compile_reader
from tidemill.replay.arrow_types import arrow_type, converter
from tidemill.replay.extras import need

ReadRecord = Callable[[bytes], dict[str, Any]]
"""Takes an event's whole value; gives its record, or raises DecodeError."""


def record_reader(reader: WriterSchema, writer: WriterSchema) -> ReadRecord:
    """A function that reads values of one schema as records of another.

    Args:
        reader: The schema to read them as.
        writer: The schema that they were written with.

    Raises:
        DecodeError: No value of this schema can be read.
    """
    number = writer.schema_id
    try:
        try:
            read = compile_reader(reader.type, writer.type)
        except NeedsResolution:
            read = _resolving(reader, writer)
    except ContractError as error:
        raise DecodeError(f"Schema {number} can't be used: {error.message}") from error

    def decode(value: bytes) -> dict[str, Any]:
        try:
            record, end = read(value, PREFIX_BYTES)
        except DecodeError:
            raise
        except IndexError as error:
            raise DecodeError(f"It ends within a field; {len(value)} bytes of schema {number}.") from error
        except Exception as error:  # hostile bytes make Python raise nearly anything
            raise DecodeError(f"The body doesn't fit schema {number} ({type(error).__name__}: {error}).") from error
        if end != len(value):
            found = "It ends within a field" if end > len(value) else f"{len(value) - end} bytes follow the event"
            raise DecodeError(f"{found}; {len(value)} bytes of schema {number}.")
        result: dict[str, Any] = record
        return result

    return decode


def _resolving(reader: WriterSchema, writer: WriterSchema) -> Callable[[bytes, int], tuple[Any, int]]:
    from fastavro import parse_schema, schemaless_reader
    from fastavro.read import SchemaResolutionError
    from fastavro.schema import SchemaParseException, UnknownType

    try:
        written_as, read_as = parse_schema(writer.json), parse_schema(reader.json)
    except (SchemaParseException, UnknownType) as error:
        raise DecodeError(f"Schema {writer.schema_id} can't be used: {error}.") from error
    walk = compile_reader(None, writer.type)
    fill_defaults = default_filler(reader.json, writer.json)

    def read(value: bytes, at: int) -> tuple[Any, int]:
        _, end = walk(value, at)
        if end != len(value):
            return None, end
        try:
            record = schemaless_reader(BytesIO(value[at:]), written_as, read_as)
        except SchemaResolutionError as error:
            raise DecodeError(
                f"Schema {writer.schema_id} can't be read as schema {reader.schema_id}: {error}."
            ) from error
        if fill_defaults is not None:
            fill_defaults(record)
        return record, end

    return read


class ExactDecoder:
    """Values of one writer's schema to Arrow columns.

    Args:
        reader: The schema whose fields the columns are.
        writer: The schema that the values were written with.
        columns: The fields that are wanted.

    Raises:
        DecodeError: No value of this schema can be read.
    """

    def __init__(self, reader: WriterSchema, writer: WriterSchema, columns: Sequence[str]) -> None:
        assert isinstance(reader.type, Record)  # WriterSchema takes no other
        self._read = record_reader(reader, writer)
        fields = {each.name: each for each in reader.type.fields}
        self._columns = [_Column(fields[name]) for name in columns]

    def decode(self, values: Sequence[bytes]) -> tuple[list[Any], list[int], dict[int, str]]:
        """The columns; which rows are in them; and for the others, why they are not."""
        records, rows, faults = [], [], {}
        for row, value in enumerate(values):
            try:
                records.append(self._read(value))
                rows.append(row)
            except DecodeError as error:
                faults[row] = error.message
        try:
            return [column.array(records) for column in self._columns], rows, faults
        except _unfit():
            # One of them holds what its Arrow type can't, such as a number of 40 bits where 32 were agreed on.
            good = []
            for row, record in zip(rows, records, strict=True):
                try:
                    for column in self._columns:
                        column.array([record])
                    good.append((row, record))
                except _unfit() as error:
                    faults[row] = f"A value doesn't fit its type: {error}."
            columns = [column.array([record for _, record in good]) for column in self._columns]
            return columns, [row for row, _ in good], faults


class _Column:
    """One field of many records, as an Arrow array."""

    def __init__(self, field: Field) -> None:
        self._name = field.name
        self._type = arrow_type(field.type)
        self._convert = converter(field.type)
        self._make = need("pyarrow", "reading topics as tables").array

    def array(self, records: list[dict[str, Any]]) -> Any:
        name, convert = self._name, self._convert
        values = [record[name] for record in records]
        return self._make(values if convert is None else [*map(convert, values)], self._type)


def _unfit() -> tuple[type[Exception], ...]:
    pa = need("pyarrow", "reading topics as tables")
    return pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError
