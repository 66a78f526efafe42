"""Decoded Avro values as JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tidemill.json_values import as_json, json_data


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\x00\xff", "AP8="),
        (datetime(2026, 11, 22, 12, 30, tzinfo=UTC), "2026-11-22T12:30:00+00:00"),
        (date(2026, 11, 22), "2026-11-22"),
        (time(12, 30, 0, 500), "12:30:00.000500"),
        (Decimal("12.50"), "12.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        ({"a": [b"", None, {"b": math.inf}]}, {"a": ["", None, {"b": "Infinity"}]}),
    ],
)
def test_each_value_has_one_form_alone_and_within_others(value: Any, expected: Any) -> None:
    assert json_data(value) == expected
    assert json.loads(as_json(value)) == expected
    assert json.loads(as_json({"within": [value]})) == {"within": [expected]}


def test_what_no_avro_type_decodes_to_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON form for"):
        json_data({"a": [object()]})
    with pytest.raises(TypeError, match="no JSON form for"):
        as_json({"a": [object()]})
