"""A field that its schema doesn't allow is refused, by its path, before anything is written."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import uuid_utils

from tidemill.errors import ContractError
from tidemill.validation import Mismatch, compile_check

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


DECIMAL = logical("bytes", "decimal", precision=5, scale=2)
CENTS = logical("bytes", "decimal", precision=2, scale=2)
ENUM = {"type": "enum", "name": "E", "symbols": ["a", "b"]}
FIXED = {"type": "fixed", "name": "F", "size": 2}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("int", 2**31 - 1),
        ("int", -(2**31)),
        ("long", -(2**63)),
        ("double", 1),
        ("double", float("inf")),
        ("double", 1.7976931348623157e308),
        ("float", 3.4028234663852886e38),
        ("float", float("-inf")),
        ("string", "ünï\U0001f600"),
        ("bytes", b""),
        ("boolean", False),
        ("null", None),
        (["null", "int"], None),
        (["int", "null"], 3),
        (ENUM, "b"),
        (FIXED, b"12"),
        (DECIMAL, Decimal("999.99")),
        (DECIMAL, Decimal("-0.5")),
        (DECIMAL, Decimal("1E+2")),
        (CENTS, Decimal(0)),
        (CENTS, Decimal("0.99")),
        (logical("string", "uuid"), UUID(int=7)),
        (logical("int", "date"), date(2026, 11, 22)),
        (logical("int", "time-millis"), time(23, 59)),
        (logical("long", "timestamp-micros"), MOMENT),
        (logical("long", "local-timestamp-micros"), datetime(2026, 11, 22)),
        ({"type": "array", "items": "int"}, [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}),
    ],
)
def test_what_the_schema_allows_passes(schema: Any, value: object) -> None:
    compile_check(schema)(value)


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ("int", 2**31, "a whole number of 32 bits"),
        ("int", True, "a whole number of 32 bits"),
        ("int", 1.0, "a whole number of 32 bits"),
        ("int", "1", "a whole number of 32 bits"),
        ("long", 2**63, "a whole number of 64 bits"),
        ("double", True, "a number"),
        ("double", Decimal(1), "a number"),
        ("double", 10**400, "a number that 64 bits can hold"),
        ("float", 1e39, "a number that 32 bits can hold"),
        ("string", b"x", "text"),
        ("string", "\ud800", "text that UTF-8 can hold"),
        ("bytes", "x", "bytes"),
        ("boolean", 1, "True or False"),
        ("null", 0, "None"),
        (["null", "int"], "1", "a whole number of 32 bits or None"),
        (["null", "int", "string"], b"", "None or a whole number of 32 bits or text"),
        (ENUM, "c", "one of a, b"),
        (FIXED, b"123", "exactly 2 bytes"),
        (DECIMAL, 1.5, "a Decimal of at most 5 digits, 2 of them after the point"),
        (DECIMAL, Decimal("1000"), "a Decimal of at most 5 digits"),
        (DECIMAL, Decimal("0.001"), "a Decimal of at most 5 digits"),
        (DECIMAL, Decimal("NaN"), "a Decimal of at most 5 digits"),
        (CENTS, Decimal("1"), "a Decimal of at most 2 digits"),
        (logical("string", "uuid"), "0191d3a2-7c1e-7000-8000-000000000000", "a uuid.UUID"),
        (logical("string", "uuid"), uuid_utils.uuid7(), "a uuid.UUID"),
        (logical("int", "date"), MOMENT, "a date"),
        (logical("int", "time-millis"), time(1, tzinfo=UTC), "a time without a time zone"),
        (logical("long", "timestamp-micros"), datetime(2026, 11, 22), "a datetime with a time zone"),
        (logical("long", "local-timestamp-micros"), MOMENT, "a datetime without a time zone"),
        ({"type": "array", "items": "string"}, "letters", "a list"),
        ({"type": "map", "values": "int"}, {1: 1}, "a dict with text keys"),
        ({"type": "record", "name": "R", "fields": []}, [], "a R"),
    ],
)
def test_what_it_does_not_allow_is_refused_with_what_is_expected(schema: Any, value: object, expected: str) -> None:
    with pytest.raises(Mismatch) as caught:
        compile_check(schema)(value)
    assert caught.value.expected.startswith(expected)
    assert caught.value.path == ""


NESTED = {
    "type": "record",
    "name": "Tree",
    "namespace": "tests",
    "fields": [
        {"name": "label", "type": "string"},
        {"name": "children", "type": {"type": "array", "items": "Tree"}},
        {"name": "by_name", "type": {"type": "map", "values": ["null", "tests.Tree"]}},
    ],
}


def tree(label: object = "x", *children: object, **by_name: object) -> dict[str, object]:
    return {"label": label, "children": list(children), "by_name": by_name}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (tree(1), "label"),
        (tree("x", tree(), tree("y", tree(None))), "children[1].children[0].label"),
        (tree("x", a=None, b=tree(2)), "by_name['b'].label"),
        (tree("x", 3), "children[0]"),
        ({"label": "x", "children": []}, "by_name"),
    ],
)
def test_the_path_leads_to_the_field(value: object, path: str) -> None:
    with pytest.raises(Mismatch) as caught:
        compile_check(NESTED)(value)
    assert caught.value.path == path


def test_a_schema_that_uses_a_type_nobody_defines_is_a_contract_error() -> None:
    with pytest.raises(ContractError, match=r"Avro type 'Tre' is not known here\."):
        compile_check({"type": "array", "items": "Tre"})
