"""An event's value to its payload: how values of one writer's schema become instances of one event class.

Bytes are read by `reading`, which knows that they may be hostile. fastavro comes in only where the reader's schema
differs from the writer's by more than fields that one of them lacks, and never sees bytes which `reading` hasn't walked
over: 5,000 bytes of a record within itself make it overflow the stack, which ends the process (1.13.1, _read.pyx).
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tidemill.contracts.contract import Payload
from tidemill.contracts.evolution import default_filler
from tidemill.contracts.schema import AvroType, Record, read_schema
from tidemill.errors import ContractError, DecodeError
from tidemill.reading import NeedsResolution, Read, compile_reader

if TYPE_CHECKING:
    from fastavro.types import Schema

Decode = Callable[[bytes], Any]
"""Takes an event's whole value; gives its payload, or raises DecodeError."""


class WriterSchema:
    """A schema that events were written with.

    Args:
        schema_id: Its id in the registry.
        schema: The schema as JSON data.

    Raises:
        DecodeError: It is no Avro, or no schema of a record.
    """

    def __init__(self, schema_id: int, schema: dict[str, Any]) -> None:
        self.schema_id = schema_id
        self.json = schema
        try:
            self.type = _typed(schema)
        except ContractError as error:
            # A registry may hold what is no Avro; an event with such a schema can never be read.
            raise DecodeError(f"Schema {schema_id} can't be used: {error.message}") from error
        if not isinstance(self.type, Record):
            raise DecodeError(f"Schema {schema_id} is not a record; expected one.")


def compile_decoder(cls: type[Payload], writer: WriterSchema, at: int) -> Decode:
    """A function that decodes values of a writer's schema.

    Args:
        cls: The event class to read them as.
        writer: The schema that they were written with.
        at: Where the Avro body begins, in bytes.

    Raises:
        DecodeError: No value of this schema can be read.
    """
    try:
        try:
            return _decoder(cls, writer, at, compile_reader(_typed(cls.__contract__.schema), writer.type))
        except NeedsResolution:
            return _resolver(cls, writer, at)
    except ContractError as error:
        raise DecodeError(f"Schema {writer.schema_id} can't be used: {error.message}") from error


def _decoder(cls: type[Payload], writer: WriterSchema, at: int, read: Read) -> Decode:
    from_record = cls.from_record

    def decode(value: bytes) -> Any:
        try:
            record, end = read(value, at)
            if end == len(value):
                return from_record(record)
        except Exception as error:  # hostile bytes make Python raise nearly anything
            raise _misfit(writer, value, error) from error
        raise _wrong_end(writer, value, end)

    return decode


def _resolver(cls: type[Payload], writer: WriterSchema, at: int) -> Decode:
    from fastavro import parse_schema, schemaless_reader
    from fastavro.read import SchemaResolutionError
    from fastavro.schema import SchemaParseException, UnknownType

    try:
        written_as: Schema = parse_schema(writer.json)
    except (SchemaParseException, UnknownType) as error:
        raise DecodeError(f"Schema {writer.schema_id} can't be used: {error}.") from error
    read_as = parse_schema(cls.__contract__.schema)
    walk = compile_reader(None, writer.type)
    # Where the writer's schema lacks a field, fastavro gives the default as it stands in the JSON.
    fill_defaults = default_filler(cls.__contract__.schema, writer.json)
    from_record = cls.from_record

    def decode(value: bytes) -> Any:
        try:
            _, end = walk(value, at)
            if end == len(value):
                buffer = BytesIO(value)
                buffer.seek(at)
                record: Any = schemaless_reader(buffer, written_as, read_as)
                if fill_defaults is not None:
                    fill_defaults(record)
                return from_record(record)
        except SchemaResolutionError as error:
            event_type = cls.__contract__.type
            raise DecodeError(
                f"Schema {writer.schema_id} of the writer can't be read as {event_type}: {error}."
            ) from error
        except Exception as error:  # hostile bytes make fastavro raise nearly anything
            raise _misfit(writer, value, error) from error
        raise _wrong_end(writer, value, end)

    return decode


def _misfit(writer: WriterSchema, value: bytes, error: Exception) -> DecodeError:
    if isinstance(error, IndexError):
        why = "it ends within a field"
    elif isinstance(error, RecursionError):
        why = "records within records, deeper than Python goes"
    elif isinstance(error, KeyError):
        why = "a number that stands for no symbol of its enum"
    else:
        why = f"{type(error).__name__}: {error}"
    return DecodeError(f"The body doesn't fit schema {writer.schema_id} ({why}); {len(value)} bytes.")


def _wrong_end(writer: WriterSchema, value: bytes, end: int) -> DecodeError:
    if end > len(value):
        return _misfit(writer, value, IndexError())
    return DecodeError(f"{len(value) - end} bytes follow the event of schema {writer.schema_id}; expected none.")


def _typed(schema: dict[str, Any]) -> AvroType:
    def report(found: str, hint: str | None = None) -> None:
        raise ContractError(found, hint=hint)

    return read_schema(schema, report)[0]
