"""JSON becomes a typed event, or an error that names the field; nothing is guessed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from tests.generated_events import event_class, every_type
from tests.unit.test_contracts_generate import everything
from tidemill.errors import ContractError, InvalidEvent
from tidemill.events import ImageRequested, Rendition
from tidemill.json_events import from_json, parse_json


def read(text: str) -> ImageRequested:
    return from_json(ImageRequested, parse_json(text))


def test_fields_with_defaults_may_be_left_out() -> None:
    event = read('{"source": "file:///1.jpg", "renditions": [{"name": "thumb", "width": 200.0}]}')
    assert event == ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)])
    assert type(event.renditions[0].width) is int


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"source": "a"}', "image.requested: field 'renditions' is missing. It has no default."),
        ("{}", "fields 'source', 'renditions' are missing. They have no defaults."),
        (
            '{"source": "a", "renditions": [{"name": "t", "wdth": 1}]}',
            "image.requested: there is no field 'wdth' in 'renditions[0]'. Did you mean 'width'?",
        ),
        ('{"source": "a", "renditions": [{}]}', "field 'name' is missing in 'renditions[0]'."),
        ('{"source": "a", "renditions": [], "zzz": 1}', "Its fields are source, renditions, metadata"),
        ("[]", "expected a JSON object, found a list"),
        ("null", "expected a JSON object, found null"),
        ('"a"', "expected a JSON object, found text"),
        ("7", "expected a JSON object, found a number"),
        ("{", "It is not JSON: expecting property name enclosed in double quotes at column 2"),
        ('{"a": 1,\n"b" 2}', "It is not JSON: expecting ':' delimiter at line 2, column 5"),
        ("", "It is not JSON: expecting value at column 1"),
        ('{"source": NaN}', "NaN is not a JSON number"),
        ('{"source": "a", "source": "b"}', "Property 'source' is written twice"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "can't be read as JSON"),
    ],
)
def test_what_is_no_such_event_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ContractError) as caught:
        read(text)
    assert message in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(ContractError, match=r"It is not UTF-8: byte 0xff at 1\."):
        parse_json(b'"\xff"')


@pytest.mark.parametrize(
    ("rendition", "field", "found", "expected"),
    [
        ('{"name": 5}', "renditions[0].name", "5 (int)", "text"),
        ('{"name": "a", "width": 1.5}', "renditions[0].width", "1.5 (float)", "a whole number of 32 bits or None"),
        ('{"name": "a", "width": "1"}', "renditions[0].width", "'1' (str)", "a whole number of 32 bits or None"),
        ('{"name": "a", "width": 3000000000}', "renditions[0].width", "3000000000 (int)", "a whole number of 32 bits"),
        ('{"name": "a", "enlarge": 1}', "renditions[0].enlarge", "1 (int)", "True or False"),
        ('{"name": "a", "fit": "fill"}', "renditions[0].fit", "'fill' (str)", "one of contain, cover, pad"),
        ("7", "renditions[0]", "7 (int)", "a JSON object"),
    ],
)
def test_a_wrong_value_is_named_with_its_field(rendition: str, field: str, found: str, expected: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read(f'{{"source": "a", "renditions": [{rendition}]}}')
    assert caught.value.field == field
    assert f"found {found}" in str(caught.value)
    assert caught.value.expected.startswith(expected)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return every_type(tmp_path_factory.mktemp("events"))


def as_json(value: Any) -> Any:
    """How a person would write a value in JSON."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case UUID() | Decimal():
            return str(value)
        case date() | datetime() | time():
            return value.isoformat()
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
    return value


def test_every_type_can_be_written_in_json(module: ModuleType) -> None:
    event = everything(module)
    text = json.dumps(as_json(event.to_record()))
    assert from_json(module.EverythingHappened, parse_json(text)) == event


def test_defaults_are_the_generated_classs_own(module: ModuleType) -> None:
    record = everything(module).to_record()
    schema = module.EverythingHappened.__contract__.schema
    required = {field["name"] for field in schema["fields"] if "default" not in field}
    text = json.dumps(as_json({name: value for name, value in record.items() if name in required}))
    assert from_json(module.EverythingHappened, parse_json(text)) == everything(module)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "12.50", Decimal("12.50")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, '"12.50"', Decimal("12.50")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "7", Decimal(7)),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            '"2026-11-22T12:30:00Z"',
            datetime(2026, 11, 22, 12, 30, tzinfo=UTC),
        ),
        ("double", "0.1", 0.1),
        ("double", "3", 3),
        ("long", "9007199254740993", 9_007_199_254_740_993),
        ("long", "1e3", 1000),
    ],
)
def test_numbers_and_moments_are_taken_exactly(tmp_path: Path, type_: Any, text: str, value: object) -> None:
    cls = event_class(tmp_path, [{"name": "x", "type": type_}])
    assert from_json(cls, parse_json(f'{{"x": {text}}}')) == cls(x=value)


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ({"type": "int", "logicalType": "date"}, '"22.11.2026"', 'a date such as "2026-11-22"'),
        ({"type": "int", "logicalType": "date"}, "20000", 'a date such as "2026-11-22"'),
        ({"type": "long", "logicalType": "timestamp-micros"}, '"2026-11-22T12:30:00"', "a date and time with a zone"),
        (
            {"type": "long", "logicalType": "local-timestamp-micros"},
            '"2026-11-22T12:30:00Z"',
            "a date and time without a zone",
        ),
        ({"type": "long", "logicalType": "time-micros"}, '"noon"', 'a time such as "12:30:00"'),
        ({"type": "string", "logicalType": "uuid"}, '"7"', "a UUID as text"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, '"much"', "a number, better as text"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "true", "a number, better as text"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2}, "1e999999", "a Decimal of at most 3"),
        ("bytes", '"not base64!"', "text in base64"),
        ("bytes", "[1]", "text in base64"),
        ("double", "1e400", "a number that 64 bits can hold"),
        ("long", "1e400", "a whole number of 64 bits"),
        ({"type": "map", "values": "int"}, "[]", "a JSON object"),
        ({"type": "array", "items": "int"}, '"abc"', "a list"),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, type_: Any, text: str, expected: str) -> None:
    cls = event_class(tmp_path, [{"name": "x", "type": type_}])
    with pytest.raises(InvalidEvent) as caught:
        from_json(cls, parse_json(f'{{"x": {text}}}'))
    assert caught.value.field == "x"
    assert caught.value.expected.startswith(expected)
