"""What is wrong in a contract is said, all at once, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tidemill.contracts import Contract
from tidemill.contracts.duration import format_duration, parse_duration
from tidemill.contracts.folder import read_contracts, read_folder
from tidemill.errors import ContractError

BOX: dict[str, Any] = {
    "type": "record",
    "name": "BoxPacked",
    "namespace": "tests.events",
    "tidemill": {"key": "label", "partitions": 6, "retention": "7d"},
    "fields": [
        {"name": "label", "type": "string"},
        {"name": "weight", "type": ["null", "double"], "default": None},
    ],
}

EMPTY = {"type": "record", "name": "Empty", "fields": []}

Change = Callable[[dict[str, Any]], object]


def box(change: Change | None = None) -> dict[str, Any]:
    schema = deepcopy(BOX)
    if change is not None:
        change(schema)
    return schema


def setting(name: str, value: object) -> Change:
    return lambda schema: schema["tidemill"].update({name: value})


def field(type_: object, name: str = "extra", **more: object) -> Change:
    return lambda schema: schema["fields"].append({"name": name, "type": type_, **more})


def fault_of(schema: dict[str, Any], origin: str = "box.packed.avsc") -> str:
    with pytest.raises(ContractError) as caught:
        Contract.from_schema(schema, origin=origin)
    return str(caught.value)


def test_a_contract_says_all_about_its_topic() -> None:
    contract = Contract.from_schema(box(), origin="box.packed.avsc")

    assert contract.type == contract.topic == "box.packed"
    assert contract.dead_topic == "box.packed.dead"
    assert contract.subject == "box.packed-value"
    assert contract.key == "label"
    assert contract.partitions == 6
    assert contract.retention == timedelta(days=7)
    assert contract.cleanup == "delete"
    assert contract.compatibility == "BACKWARD"
    assert contract.schema == BOX


def test_what_is_registered_does_not_depend_on_the_files_layout() -> None:
    shuffled = dict(reversed(box().items()))
    shuffled["fields"] = [dict(reversed(each.items())) for each in shuffled["fields"]]

    assert Contract.from_schema(shuffled, origin="a").schema_json == Contract.from_schema(box(), origin="b").schema_json


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (setting("retention", "7 dayz"), "box.packed.avsc: retention '7 dayz' is not a duration. Write a whole number"),
        (setting("retention", 7), "retention 7 is not a duration."),
        (setting("retention", "0s"), "It must be at least 1s."),
        (setting("retention", "99999999999d"), "More than 100 years: write forever."),
        (setting("retenttion", "7d"), "unknown property 'retenttion' in 'tidemill'. Did you mean 'retention'?"),
        (setting("colour", "red"), "unknown property 'colour' in 'tidemill'. Known are type, topic, key, partitions"),
        (setting("partitions", 0), "partitions must be a whole number from 1 to 10000, found 0."),
        (setting("partitions", 10_001), "partitions must be a whole number from 1 to 10000, found 10001."),
        (setting("partitions", "12"), "found '12'."),
        (setting("partitions", True), "found True."),
        (setting("cleanup", "compacted"), "cleanup 'compacted' is not one of 'delete', 'compact', 'compact,delete'."),
        (setting("compatibility", "backwards"), "compatibility 'backwards' is not one of"),
        (setting("compatibility", "backwards"), "Did you mean 'BACKWARD'?"),
        (setting("key", "lable"), "key 'lable' is not a field of BoxPacked. Did you mean 'label'?"),
        (setting("key", "x"), "key 'x' is not a field of BoxPacked. Its fields are label, weight."),
        (setting("key", 3), "key 3 is not a field"),
        (setting("key", "weight"), "key 'weight' is a union of null, double, which can't be a key. A key is a string,"),
        (setting("topic", "box packed"), "topic 'box packed' is not a legal name in Kafka. Use letters, digits"),
        (setting("topic", ".."), "topic '..' is not a legal name in Kafka."),
        (setting("topic", ""), "topic '' is not a legal name in Kafka."),
        (setting("topic", "t" * 245), "has 245 characters. At most 244 are possible."),
        (setting("type", "box.sent"), "the file must be called box.sent.avsc, since it defines BoxPacked."),
        (lambda schema: schema.update(name="BoxSent"), "the file must be called box.sent.avsc"),
        (lambda schema: schema.pop("tidemill"), "it has no 'tidemill' object, which says how its topic is made. Add"),
        (lambda schema: schema.update(type="enum"), "an event's schema must be a record."),
        (
            lambda schema: schema.update(name="Box-Packed"),
            "'tests.events.Box-Packed' is not a legal name for a record.",
        ),
        (lambda schema: schema.update(name="Decimal"), "the name 'Decimal' means something else in Python."),
        (lambda schema: schema.pop("fields"), "record BoxPacked has no list of 'fields'."),
        (field("int", "label"), "field 'label': there are two fields of this name."),
        (field("int", "class"), "field 'BoxPacked.class': 'class' is a reserved word of Python. Call it 'class_name'"),
        (field("int", "__x"), "field 'BoxPacked.__x': the name '__x' is taken in Python classes."),
        (field("int", "to_record"), "the name 'to_record' is taken in Python classes."),
        (field("int", "1st"), "field number 3 of BoxPacked has no legal name: '1st'."),
        (field("strng"), "field 'extra': unknown type 'strng'. Did you mean 'string'?"),
        (field("Other"), "unknown type 'Other'. Define it where it is used first, in this same file."),
        (field("null"), "field 'BoxPacked.extra' is always null."),
        (field(7), "7 is not a type."),
        (field({"items": "int"}), "has no 'type'."),
        (field({"type": "array"}), "the array has no 'items'."),
        (field("int", defualt=1), "field 'extra': unknown property 'defualt'. Did you mean 'default'?"),
        (field(["int", "string"]), "is a union of int, string; only the union of null and one type is possible."),
        (field(["null", "int", "string"]), "only the union of null and one type is possible."),
        (
            field({"type": "array", "items": EMPTY}),
            "a list of record Empty, whose items take no bytes: any number fits",
        ),
        (field(["null"]), "only the union of null and one type is possible."),
        (field([]), "field 'extra': the union is empty."),
        (field(["null", "null"]), "the union has a type twice: null, null."),
        (field(["null", ["null", "int"]]), "a union holds a union."),
        (field(["null", "string"], default="x"), "the default 'x' doesn't fit: the default of a union must fit its"),
        (field(["null", "string"], default="x"), "Put the type of the default first in the union"),
        (field("int", default="1"), "field 'BoxPacked.extra': the default '1' doesn't fit: a whole number expected"),
        (field("int", default=2**31), "2147483648 doesn't fit into 32 bits"),
        (field("int", default=True), "a whole number expected, found True"),
        (field("double", default=float("nan")), "a finite number expected, found nan"),
        (field("string", default=None), "text expected, found None"),
        (field("boolean", default=0), "true or false expected, found 0"),
        (field("bytes", default="\u0100"), "bytes are written as characters up to \\u00ff"),
        (field({"type": "array", "items": "int"}, default={}), "a list expected, found {}"),
        (field({"type": "map", "values": "int"}, default=[]), "an object expected, found []"),
        (field({"type": "int", "logicalType": "date"}, default=2**31 - 1), "2147483647 is not a date"),
        (field({"type": "int", "logicalType": "time-millis"}, default=-1), "is not a time-millis: outside one day"),
        (field({"type": "string", "logicalType": "uuid"}, default="x"), "'x' is not a uuid"),
        (field({"type": "enum", "name": "E", "symbols": []}), "enum E needs a list of symbols, found []."),
        (field({"type": "enum", "name": "E", "symbols": ["a", "a"]}), "enum E has a symbol twice"),
        (field({"type": "enum", "name": "E", "symbols": ["a"], "default": "b"}), "default 'b' is not one of ['a']."),
        (field({"type": "enum", "name": "E", "symbols": ["a"]}, default="b"), "one of a expected, found 'b'"),
        (field({"type": "enum", "name": "extra", "symbols": ["a"]}), "'BoxPacked.extra' has the name of a type."),
        (field({"type": "fixed", "name": "F", "size": 0}), "fixed F: size must be a number of bytes from 1, found 0."),
        (field({"type": "fixed", "name": "F", "size": 2}, default="a"), "exactly 2 bytes expected, found 1"),
        (field({"type": "enum", "name": "BoxPacked", "symbols": ["a"]}), "'tests.events.BoxPacked' is defined twice."),
        (field({"type": "record", "name": "P", "fields": []}, default={"a": 1}), "tests.events.P has no field 'a'"),
        (
            field({"type": "record", "name": "P", "fields": [{"name": "a", "type": "int"}]}, default={}),
            "'a' is missing",
        ),
        (
            field("BoxPacked"),
            "field 'BoxPacked.extra' holds BoxPacked itself, without end. Make it nullable or a list.",
        ),
        (field({"type": "int", "logicalType": "dat"}), "logical type 'dat' is not supported. Did you mean 'date'?"),
        (
            field({"type": "int", "logicalType": "timestamp-micros"}),
            "'timestamp-micros' can't stand on int. It needs long.",
        ),
        (field({"type": "long", "logicalType": "timestamp-nanos"}), "Python's datetime ends at microseconds"),
        (field({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}), "'duration' is not supported."),
        (field({"type": "bytes", "logicalType": "decimal"}), "precision None and scale 0 don't make a decimal."),
        (
            field({"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 9, "scale": 2}),
            "9 digits don't fit into 2 bytes. Set its size to 4.",
        ),
    ],
)
def test_a_fault_is_named_with_its_file_and_what_to_do(change: Change, expected: str) -> None:
    said = fault_of(box(change))

    assert "box.packed.avsc: " in said
    assert expected in said


def test_a_compacted_topic_needs_a_key() -> None:
    def unkeyed(schema: dict[str, Any]) -> None:
        schema["tidemill"] |= {"cleanup": "compact", "key": None}

    assert "cleanup 'compact' needs a key: Kafka keeps the last event of each. Name a field" in fault_of(box(unkeyed))


@pytest.mark.parametrize(
    "type_",
    [
        "string",
        "int",
        "long",
        {"type": "string", "logicalType": "uuid"},
        {"type": "enum", "name": "Colour", "symbols": ["red"]},
    ],
)
def test_types_that_can_be_a_key(type_: object) -> None:
    def keyed(schema: dict[str, Any]) -> None:
        schema["fields"].append({"name": "place", "type": type_})
        schema["tidemill"]["key"] = "place"

    assert Contract.from_schema(box(keyed), origin="box.packed.avsc").key == "place"


@pytest.mark.parametrize(
    "type_", ["boolean", "double", "bytes", ["null", "string"], {"type": "long", "logicalType": "timestamp-micros"}]
)
def test_types_that_can_not_be_a_key(type_: object) -> None:
    def keyed(schema: dict[str, Any]) -> None:
        schema["fields"].append({"name": "place", "type": type_})
        schema["tidemill"]["key"] = "place"

    assert "which can't be a key" in fault_of(box(keyed))


def test_all_faults_of_a_contract_are_named_at_once() -> None:
    def spoil(schema: dict[str, Any]) -> None:
        schema["tidemill"] |= {"retention": "soon", "partitions": -1}
        schema["fields"].append({"name": "class", "type": "int"})

    said = fault_of(box(spoil))

    assert said.startswith("3 faults in box.packed.avsc:\n  - ")
    assert "reserved word" in said
    assert "partitions must be" in said
    assert "'soon' is not a duration. Write a whole number" in said


def test_all_faults_of_a_folder_are_named_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "box.packed.avsc").write_text(json.dumps(box(setting("partitions", 0))))
    (tmp_path / "broken.avsc").write_text('{"type": "record",\n "name": }')
    (tmp_path / "twice.avsc").write_text('{"type": "record", "type": "enum"}')
    (tmp_path / "latin1.avsc").write_bytes(b'{"doc": "\xe9"}')
    (tmp_path / "nan.avsc").write_text('{"default": NaN}')

    with pytest.raises(ContractError) as caught:
        read_folder(tmp_path)

    said = str(caught.value)
    assert said.startswith(f"5 faults in {tmp_path}:")
    assert "- box.packed.avsc: partitions must be" in said
    assert "- broken.avsc: it is not JSON: Expecting value: line 2 column 10" in said
    assert "- twice.avsc: it is not JSON: property 'type' is written twice." in said
    assert "- latin1.avsc: it is not JSON: 'utf-8' codec can't decode" in said
    assert "- nan.avsc: it is not JSON: NaN is not a JSON number." in said


def test_two_contracts_can_not_share_a_topic() -> None:
    texts = {
        "box.packed.avsc": json.dumps(box()).encode(),
        "box.sent.avsc": json.dumps(box(setting("topic", "box_packed")) | {"name": "BoxSent"}).encode(),
    }

    with pytest.raises(
        ContractError, match=r"box.sent.avsc: topic 'box_packed' is taken by box.packed.avsc \('box.pac"
    ):
        read_contracts(texts, subject="schemas")


def test_a_folder_without_contracts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"There is no contract \(\*.avsc\) in .* Write one file"):
        read_folder(tmp_path)
    with pytest.raises(ContractError, match=r"There is no folder of contracts at .* Give it with --schemas"):
        read_folder(tmp_path / "missing")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "box.packed.avsc").write_bytes(b"\xef\xbb\xbf" + json.dumps(box()).encode())

    assert [file.contract.type for file in read_folder(tmp_path)] == ["box.packed"]


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("36500d", timedelta(days=36_500)),
        ("forever", None),
    ],
)
def test_durations_are_read_and_written_alike(text: str, duration: timedelta | None) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == text


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7.5d", "7 d", "7D", "1w", "\u0667d", "Forever", None, 7])
def test_what_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match="Write a whole number and a unit"):
        parse_duration(text)
