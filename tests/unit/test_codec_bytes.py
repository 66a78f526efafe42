"""Bytes to events: what a consumer can meet in a topic becomes the event, or one clear DecodeError."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.generated_events import event_class, every_type
from tests.unit.test_contracts_generate import everything
from tidemill.codec import MOST_UNKNOWN_IDS, UNKNOWN_ID_SECONDS, Codec, SchemaNotCached
from tidemill.errors import DecodeError, InvalidEvent, RegistryError
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.testing import MemorySchemas

REQUEST = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)])
SOURCE = {"name": "source", "type": "string"}
WIDTH = {"name": "width", "type": "int"}


class CountedSchemas(MemorySchemas):
    """Also counts the questions, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.away = False

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        self.asked.append(schema_id)
        if self.away:
            raise RegistryError("The registry is away.")
        return super().schema_by_id(schema_id)


def test_an_event_is_written_in_the_confluent_wire_format() -> None:
    schemas = MemorySchemas()
    value = Codec(schemas).encode(REQUEST)
    schema_id = schemas.lookup_id("image.requested-value", ImageRequested.__contract__.schema_json)
    assert value[:5] == struct.pack(">bI", 0, schema_id)
    # Avro 1.12, "Binary Encoding": a string is its length, zigzag coded, and its UTF-8 bytes.
    assert value[5:19] == bytes([2 * 13]) + b"file:///1.jpg"


def test_every_logical_type_comes_back_as_it_was(tmp_path: Path) -> None:
    module = every_type(tmp_path)
    event = everything(module)
    codec = Codec(MemorySchemas())
    assert codec.decode(codec.encode(event), module.EverythingHappened) == event


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "There is no value (a tombstone); expected a image.requested."),
        (b"", "it starts with nothing (0 bytes)"),
        (b"\x00\x00\x00", "it starts with 00 00 00 (3 bytes)"),
        (b'{"source": 1}', "it starts with 7b 22 73 6f 75 72 63 65 (13 bytes)"),
        (b"\x00\xff\xff\xff\xffrest", "No schema in memory has the id 4294967295."),
    ],
)
def test_what_is_no_event_is_refused_with_what_was_found(value: bytes | None, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Codec(MemorySchemas()).decode(value, ImageRequested)
    assert message in str(caught.value)
    assert not caught.value.retriable


def test_an_event_cut_short_anywhere_is_a_decode_error() -> None:
    codec = Codec(MemorySchemas())
    value = codec.encode(REQUEST)
    for length in range(len(value)):
        with pytest.raises(DecodeError):
            codec.decode(value[:length], ImageRequested)


def test_bytes_after_the_event_are_refused() -> None:
    codec = Codec(MemorySchemas())
    with pytest.raises(DecodeError, match=r"3 bytes follow the event of schema 1; expected none\."):
        codec.decode(codec.encode(REQUEST) + b"abc", ImageRequested)


def test_damaged_events_are_decoded_or_refused_and_never_anything_else(tmp_path: Path) -> None:
    module = every_type(tmp_path)
    codec = Codec(MemorySchemas())
    good = [
        (codec.encode(everything(module)), module.EverythingHappened),
        (codec.encode(REQUEST), ImageRequested),
    ]
    chance = random.Random(20261122)
    refused = 0
    for _ in range(6000):
        value, cls = chance.choice(good)
        damaged = bytearray(value)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(5, len(damaged))
            match chance.randrange(4):
                case 0:
                    damaged[place] = chance.randrange(256)
                case 1:
                    del damaged[place : place + chance.randint(1, 9)]
                case 2:
                    damaged[place:place] = chance.randbytes(chance.randint(1, 9))
                case 3:
                    damaged[place : place + 9] = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
            if len(damaged) <= 6:
                break
        try:
            codec.decode(bytes(damaged), cls)
        except DecodeError:
            refused += 1
    assert refused > 1000


def test_a_body_that_claims_to_be_endless_is_refused_without_taking_memory(tmp_path: Path) -> None:
    schemas = MemorySchemas()
    codec = Codec(schemas)
    request = codec.encode(ImageRequested(source="a", renditions=[]))
    endless = request[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + b"a"
    with pytest.raises(DecodeError):
        codec.decode(endless, ImageRequested)
    count = request[:7] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
    with pytest.raises(DecodeError):
        codec.decode(count, ImageRequested)


def test_an_older_event_is_read_with_the_defaults_of_newer_fields(tmp_path: Path) -> None:
    old = event_class(tmp_path, [SOURCE])
    new = event_class(tmp_path, [SOURCE, {**WIDTH, "default": 640}, {"name": "tags", "type": TAGS, "default": ["a"]}])
    codec = Codec(MemorySchemas())
    read = codec.decode(codec.encode(old(source="x")), new)
    assert read == new(source="x", width=640, tags=["a"])


TAGS = {"type": "array", "items": "string"}


def test_a_newer_event_is_read_without_the_fields_that_are_not_known_yet(tmp_path: Path) -> None:
    old = event_class(tmp_path, [SOURCE])
    new = event_class(tmp_path, [WIDTH, SOURCE])
    codec = Codec(MemorySchemas())
    assert codec.decode(codec.encode(new(source="x", width=1)), old) == old(source="x")


def test_a_default_taken_by_two_events_is_not_shared_between_them(tmp_path: Path) -> None:
    old = event_class(tmp_path, [SOURCE])
    new = event_class(tmp_path, [SOURCE, {"name": "tags", "type": TAGS, "default": []}])
    codec = Codec(MemorySchemas())
    first, second = (codec.decode(codec.encode(old(source="x")), new) for _ in range(2))
    first.tags.append("mine")
    assert second.tags == []


def test_default_values_of_logical_types_are_given_as_python_has_them(tmp_path: Path) -> None:
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    price = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
    old = event_class(tmp_path, [SOURCE])
    new = event_class(
        tmp_path,
        [
            SOURCE,
            {"name": "at", "type": moment, "default": 1_704_067_200_000_000},
            {"name": "price", "type": price, "default": "\u0004\u00d2"},
            {"name": "raw", "type": "bytes", "default": "\u00ff"},
        ],
    )
    codec = Codec(MemorySchemas())
    assert codec.decode(codec.encode(old(source="x")), new) == new(source="x")


def test_a_type_that_grew_is_read_in_its_new_size(tmp_path: Path) -> None:
    old = event_class(tmp_path, [WIDTH])
    new = event_class(tmp_path, [{"name": "width", "type": "double"}])
    codec = Codec(MemorySchemas())
    assert codec.decode(codec.encode(old(width=3)), new) == new(width=3.0)


def test_a_writer_that_cannot_be_read_as_this_type_is_named(tmp_path: Path) -> None:
    old = event_class(tmp_path, [{"name": "width", "type": "string"}])
    new = event_class(tmp_path, [WIDTH])
    codec = Codec(MemorySchemas())
    with pytest.raises(DecodeError, match=r"Schema 1 of the writer can't be read as thing\.seen"):
        codec.decode(codec.encode(old(width="wide")), new)


def test_an_event_of_another_type_is_refused() -> None:
    codec = Codec(MemorySchemas())
    with pytest.raises(DecodeError, match=r"can't be read as image\.processed"):
        codec.decode(codec.encode(REQUEST), ImageProcessed)


def test_a_schema_is_fetched_once() -> None:
    schemas = CountedSchemas()
    value = Codec(schemas).encode(REQUEST)
    codec = Codec(schemas)
    for _ in range(3):
        assert codec.decode(value, ImageRequested) == REQUEST
    assert schemas.asked == [1]


def test_an_unknown_id_is_asked_once_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("tidemill.codec.time.monotonic", lambda: now)
    schemas = CountedSchemas()
    codec = Codec(schemas)
    garbage = b"\x00\x00\x00\x00\x01" + Codec(MemorySchemas()).encode(REQUEST)[5:]
    for _ in range(3):
        with pytest.raises(DecodeError, match=r"has the id 1\."):
            codec.decode(garbage, ImageRequested)
    assert schemas.asked == [1]
    schemas.lookup_id("image.requested-value", ImageRequested.__contract__.schema_json)
    now += UNKNOWN_ID_SECONDS
    assert codec.decode(garbage, ImageRequested) == REQUEST
    assert schemas.asked == [1, 1]


def test_what_is_remembered_of_unknown_ids_stays_bounded() -> None:
    codec = Codec(MemorySchemas())
    for schema_id in range(2, 2 * MOST_UNKNOWN_IDS):
        codec.learn(schema_id)
    assert len(codec._unknown) <= MOST_UNKNOWN_IDS


def test_a_registry_that_is_away_is_no_decode_error_and_is_asked_again() -> None:
    schemas = CountedSchemas()
    value = Codec(schemas).encode(REQUEST)
    codec = Codec(schemas)
    schemas.away = True
    with pytest.raises(RegistryError) as caught:
        codec.decode(value, ImageRequested)
    assert caught.value.retriable
    schemas.away = False
    assert codec.decode(value, ImageRequested) == REQUEST


def test_decoding_from_the_cache_asks_nobody() -> None:
    schemas = CountedSchemas()
    value = Codec(schemas).encode(REQUEST)
    codec = Codec(schemas)
    with pytest.raises(SchemaNotCached) as caught:
        codec.decode_cached(value, ImageRequested)
    assert schemas.asked == []
    codec.learn(caught.value.schema_id)
    assert codec.decode_cached(value, ImageRequested) == REQUEST


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "record", "name": "R"}, "Schema 7 .*can't be used"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "other.Type"}]}, "Schema 7 .*can't be used"),
    ],
)
def test_a_registered_schema_that_is_broken_is_a_decode_error(schema: dict[str, Any], message: str) -> None:
    class Broken(MemorySchemas):
        def schema_by_id(self, schema_id: int) -> dict[str, Any]:
            return schema

    with pytest.raises(DecodeError, match=message):
        Codec(Broken()).decode(b"\x00\x00\x00\x00\x07abc", ImageRequested)


@pytest.mark.parametrize(
    ("renditions", "field", "expected"),
    [
        (None, "renditions", "a list"),
        ("ab", "renditions", "a list"),
        ([{"name": "thumb"}], "renditions[0]", "a Rendition"),
        ([Rendition(name="a"), None], "renditions[1]", "a Rendition"),
        ([Rendition(name="a", width=2.5)], "renditions[0].width", "a whole number of 32 bits or None"),  # type: ignore[arg-type]
        ([Rendition(name="a", fit="fill")], "renditions[0].fit", "one of contain, cover, pad"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_field_is_named_with_what_was_found(renditions: Any, field: str, expected: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Codec(MemorySchemas()).encode(ImageRequested(source="a", renditions=renditions))
    assert caught.value.field == field
    assert caught.value.expected == expected
    assert not caught.value.retriable
