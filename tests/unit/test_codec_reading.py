"""The compiled reader reads what fastavro reads, and refuses what would end or stop the process."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from tests.generated_events import event_class, every_type
from tests.unit.random_avro import random_schema, random_value
from tests.unit.test_contracts_generate import everything
from tidemill.codec import Codec
from tidemill.contracts.evolution import default_filler
from tidemill.contracts.schema import AvroType, read_schema
from tidemill.errors import ContractError, DecodeError
from tidemill.reading import NeedsResolution, Read, compile_reader
from tidemill.testing import MemorySchemas

TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [
        {"name": "label", "type": "string"},
        {"name": "children", "type": {"type": "array", "items": "Tree"}, "default": []},
        {"name": "twin", "type": ["null", "Tree"], "default": None},
    ],
}
EMPTY = {"type": "record", "name": "Empty", "fields": []}


def typed(schema: Any) -> AvroType:
    def report(found: str, hint: str | None = None) -> None:
        raise AssertionError(found)

    return read_schema(schema, report)[0]


def reader_of(schema: Any, written_with: Any = None) -> Read:
    return compile_reader(typed(schema), typed(schema if written_with is None else written_with))


def walker_of(schema: Any) -> Read:
    return compile_reader(None, typed(schema))


def written(schema: Any, value: Any) -> bytes:
    buffer = BytesIO()
    schemaless_writer(buffer, parse_schema(schema), value)
    return buffer.getvalue()


def by_fastavro(schema: Any, data: bytes, read_as: Any = None) -> tuple[Any, int]:
    buffer = BytesIO(data)
    value = schemaless_reader(buffer, parse_schema(schema), None if read_as is None else parse_schema(read_as))
    return value, buffer.tell()


def test_an_event_of_every_type_is_read_as_fastavro_reads_it(tmp_path: Path) -> None:
    event = everything(every_type(tmp_path))
    schema = event.__contract__.schema
    data = written(schema, event.to_record())
    assert reader_of(schema)(data, 0) == by_fastavro(schema, data)
    assert walker_of(schema)(data, 0) == (None, len(data))


@pytest.mark.parametrize("seed", range(40))
def test_values_of_any_contract_are_read_as_fastavro_reads_them(seed: int) -> None:
    chance = random.Random(seed)
    schema = random_schema(chance)
    read, walk = reader_of(schema), walker_of(schema)
    for _ in range(25):
        data = written(schema, random_value(chance, schema))
        # With something before and after, as in a Kafka message that is damaged.
        value, end = by_fastavro(schema, data)
        assert repr(read(b"\x00" * 5 + data + b"\x07", 5)) == repr((value, end + 5))
        assert walk(data, 0)[1] == end


NEVER_WRITTEN = ("branch", "KeyError", "more than", "claim", "0 of more than one byte")
"""What Avro forbids and fastavro lets pass: numbers longer than need be, or beyond 64 bits, and negative ones that
Python takes for places counted from the end."""


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_read_as_fastavro_reads_them_or_refused(seed: int) -> None:
    chance = random.Random(1000 + seed)
    schema = random_schema(chance)
    read, walk = reader_of(schema), walker_of(schema)
    for _ in range(50):
        data = damaged(chance, written(schema, random_value(chance, schema)))
        try:
            theirs: tuple[Any, int] | None = by_fastavro(schema, data)
        except Exception:  # noqa: BLE001 - damaged bytes make it raise nearly anything
            theirs = None
        try:
            ours = read(data, 0)
            refused = "" if ours[1] <= len(data) else "IndexError"
        except Exception as error:  # noqa: BLE001 - likewise
            refused = f"{type(error).__name__}: {error}"
        if not refused:
            assert theirs is not None
            assert repr(ours) == repr(theirs)
            assert walk(data, 0)[1] == ours[1]
        elif theirs is not None:
            assert any(reason in refused for reason in NEVER_WRITTEN), refused


def damaged(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                del changed[at : at + chance.randint(1, 9)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 9))
            case 3:
                changed[at : at + 1] = b"\xff" * chance.randint(1, 12)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(40))
def test_another_versions_fields_are_left_out_or_get_their_defaults(seed: int) -> None:
    chance = random.Random(2000 + seed)
    older = random_schema(chance)
    newer = {**older, "fields": [*older["fields"]]}
    chance.shuffle(newer["fields"])
    if len(newer["fields"]) > 1 and chance.random() < 0.7:
        newer["fields"].pop()
    added = [
        {"name": "added_text", "type": "string", "default": "ü"},
        {"name": "added_list", "type": {"type": "array", "items": "int"}, "default": [1]},
        {"name": "added_moment", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 5},
        {"name": "added_nothing", "type": ["null", "string"], "default": None},
    ]
    newer["fields"] += chance.sample(added, chance.randint(0, 4))
    for writer, reader in ((older, newer), (newer, older)):
        try:
            read = reader_of(reader, writer)
        except NeedsResolution:
            # A field that the older one has and the newer one lacks, without a default: fastavro says so, too.
            assert any("default" not in each and each not in writer["fields"] for each in reader["fields"])
            continue
        fill = default_filler(reader, writer)
        for _ in range(10):
            data = written(writer, random_value(chance, writer))
            value, end = by_fastavro(writer, data, reader)
            if fill is not None:
                fill(value)
            assert repr(read(data, 0)) == repr(({each["name"]: value[each["name"]] for each in reader["fields"]}, end))


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def test_a_field_that_has_become_nullable_is_read_at_once() -> None:
    old, new = record({"name": "a", "type": "int"}), record({"name": "a", "type": ["null", "long"]})
    assert reader_of(new, old)(b"\x0e", 0) == ({"a": 7}, 1)


def test_a_renamed_field_is_read_by_its_alias() -> None:
    old, new = record({"name": "a", "type": "int"}), record({"name": "b", "type": "int", "aliases": ["a"]})
    assert reader_of(new, old)(b"\x0e", 0) == ({"b": 7}, 1)


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        ("double", "int"),
        ("int", "long"),
        ("bytes", "string"),
        ("int", ["null", "int"]),
        (["null", "string"], ["null", "int"]),
        (["null", "int", "string"], "int"),
        ({"type": "array", "items": "long"}, {"type": "map", "values": "long"}),
        ({"type": "array", "items": "double"}, {"type": "array", "items": "int"}),
        ({"type": "array", "items": "int"}, {"type": "array", "items": {"type": "array", "items": "int"}}),
        ({"type": "long", "logicalType": "timestamp-millis"}, "long"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, {"type": "enum", "name": "E", "symbols": ["a", "b"]}),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, {"type": "enum", "name": "F", "symbols": ["a"]}),
        ({"type": "fixed", "name": "F", "size": 2}, {"type": "fixed", "name": "F", "size": 3}),
        (record({"name": "a", "type": "int"}, name="A"), record({"name": "a", "type": "int"}, name="B")),
        (record({"name": "b", "type": "int"}, name="A"), record({"name": "a", "type": "int"}, name="A")),
        (
            record({"name": "a", "type": "int"}, {"name": "b", "type": "int", "aliases": ["a"]}, name="A"),
            record({"name": "a", "type": "int"}, name="A"),
        ),
    ],
)
def test_schemas_that_differ_otherwise_are_left_to_be_resolved(reader: Any, writer: Any) -> None:
    with pytest.raises(NeedsResolution):
        reader_of(record({"name": "f", "type": reader}), record({"name": "f", "type": writer}))


def test_symbols_and_branches_beyond_one_byte_are_read() -> None:
    symbols = [f"s{number}" for number in range(200)]
    schema = {"type": "enum", "name": "Many", "symbols": symbols}
    read = reader_of(schema)
    assert [read(written(schema, symbol), 0)[0] for symbol in symbols] == symbols
    union = [{"type": "fixed", "name": f"F{number}", "size": number} for number in range(1, 101)]
    walk = walker_of(union)
    assert walk(written(union, ("F3", b"abc")), 0)[1] == 4
    assert walk(written(union, ("F100", b"a" * 100)), 0)[1] == 102


def test_lists_in_lists_are_read_however_deep() -> None:
    schema: Any = "int"
    value: Any = 7
    for _ in range(60):
        schema, value = {"type": "array", "items": ["null", schema]}, [value, None]
    assert reader_of(schema)(written(schema, value), 0)[0] == value


def test_blocks_with_their_size_are_read() -> None:
    # Avro 1.12, "Arrays": a negative count is followed by the block's size in bytes.
    assert reader_of({"type": "array", "items": "int"})(b"\x03\x04\x02\x04\x02\x06\x00", 0) == ([1, 2, 3], 7)
    assert reader_of({"type": "map", "values": "int"})(b"\x01\x80\x01\x02a\x02\x00", 0) == ({"a": 1}, 7)


def test_a_fixed_value_that_is_cut_short_is_refused() -> None:
    with pytest.raises(EOFError, match="it ends within a field"):
        reader_of({"type": "array", "items": {"type": "fixed", "name": "F", "size": 4}})(b"\xfe\xff\xff\x7fabcdef", 0)


def test_a_list_of_what_takes_no_bytes_has_no_reader() -> None:
    ring = record({"name": "next", "type": "Ring"}, name="Ring")
    for items in ("null", EMPTY, record({"name": "inner", "type": EMPTY}), ring):
        with pytest.raises(ContractError, match="nothing bounds its length"):
            walker_of({"type": "array", "items": items})


@pytest.mark.parametrize("newer_type", ["int", "double"])
def test_records_in_records_without_end_are_a_decode_error(tmp_path: Path, newer_type: str) -> None:
    fields = [{"name": "tree", "type": ["null", TREE]}]
    old = event_class(tmp_path, [{"name": "size", "type": "int"}, *fields])
    new = event_class(tmp_path, [{"name": "size", "type": newer_type}, *fields])
    codec = Codec(MemorySchemas())
    head = codec.encode(old(size=1, tree=None))[:6]
    assert codec.decode(head + b"\x02\x02x\x00\x00", new).tree.label == "x"
    # fastavro, given this, overflows the stack: that can't be caught, the process is gone.
    with pytest.raises(DecodeError, match="records within records"):
        codec.decode(head + b"\x02" + b"\x02x\x00\x02" * 50_000 + b"\x02x\x00\x00", new)


def test_a_schema_that_needs_resolution_refuses_the_same_bytes(tmp_path: Path) -> None:
    old = event_class(tmp_path, [{"name": "size", "type": "int"}, {"name": "text", "type": "string"}])
    new = event_class(tmp_path, [{"name": "size", "type": "double"}, {"name": "text", "type": "string"}])
    codec = Codec(MemorySchemas())
    value = codec.encode(old(size=3, text="abc"))
    assert codec.decode(value, new) == new(size=3.0, text="abc")
    with pytest.raises(DecodeError, match=r"2 bytes follow the event of schema 1; expected none\."):
        codec.decode(value + b"ab", new)
    for length in range(5, len(value)):
        with pytest.raises(DecodeError, match=r"doesn't fit schema 1 \(it ends within a field\)"):
            codec.decode(value[:length], new)
    with pytest.raises(DecodeError, match="UnicodeDecodeError"):
        codec.decode(value[:-1] + b"\xff", new)


def test_threads_that_meet_a_schema_at_once_read_the_same(tmp_path: Path) -> None:
    cls = event_class(tmp_path, [{"name": "text", "type": "string"}])
    schemas = MemorySchemas()
    values = [Codec(schemas).encode(cls(text=str(number))) for number in range(400)]
    codec = Codec(schemas)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda value: codec.decode(value, cls), values))
    assert [event.text for event in read] == [str(number) for number in range(400)]
