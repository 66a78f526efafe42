"""Schemas of all that Avro knows, values and bytes for them, as strategies of hypothesis.

Wider than contracts allow: unions of several types, records within themselves, namespaces, decimals of any width.
"""

from __future__ import annotations

import math
import os
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

EXAMPLES = int(os.environ.get("TIDEMILL_FUZZ_EXAMPLES", "0"))
"""How many examples a long run takes of each property; 0 for the short one."""
# A failure that is made small takes minutes: only where somebody waits for it.
PHASES = [Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate]
PLAIN = ("boolean", "int", "long", "float", "double", "bytes", "string")
LOGICAL = (
    ("string", "uuid"),
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "local-timestamp-millis"),
    ("long", "local-timestamp-micros"),
)
DEEPEST = 2
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


def fuzzed(examples: int) -> settings:
    """Settings of a property: so many examples, or TIDEMILL_FUZZ_EXAMPLES; the same ones at each short run."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        phases=PHASES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@st.composite
def schemas(draw: DrawFn, *, fast_only: bool = False) -> dict[str, Any]:
    """A record of one to four fields.

    Args:
        draw: Hypothesis gives it.
        fast_only: Only of types that the fast decoder takes.
    """
    return _Schemas(draw, fast_only).record(0)


class _Schemas:
    """Draws the types of one schema."""

    def __init__(self, draw: DrawFn, fast_only: bool) -> None:
        self._draw = draw
        self._fast_only = fast_only
        self._names = iter(range(10_000))
        self._outer: list[str] = []

    def record(self, depth: int) -> dict[str, Any]:
        number = next(self._names)
        name = f"R{number}"
        self._outer.append(name)
        count = self._draw(st.integers(1, 4 - depth))
        fields = [{"name": f"f{number}_{place}", "type": self.type(depth)} for place in range(count)]
        self._outer.pop()
        return {"type": "record", "name": name, "fields": fields}

    def type(self, depth: int, *, in_union: bool = False) -> Any:
        kinds = ["plain", "plain", "logical", "enum"]
        if not self._fast_only:
            kinds += ["fixed", "decimal", "fixed decimal"]
        if not in_union:
            kinds += ["optional", "optional"] + ([] if self._fast_only else ["union"])
        if depth < DEEPEST:
            kinds += ["array", "map", "record"] + ([] if self._fast_only else ["itself"])
        draw = self._draw
        match draw(st.sampled_from(kinds)):
            case "plain":
                return draw(st.sampled_from([each for each in PLAIN if not self._fast_only or each != "bytes"]))
            case "logical":
                kind, logical = draw(st.sampled_from(LOGICAL))
                return {"type": kind, "logicalType": logical}
            case "enum":
                symbols = [f"s{n}" for n in range(draw(st.sampled_from((1, 3, 60) if self._fast_only else (1, 3, 90))))]
                return {"type": "enum", "name": f"E{next(self._names)}", "symbols": symbols}
            case "fixed":
                return {"type": "fixed", "name": f"F{next(self._names)}", "size": draw(st.integers(1, 9))}
            case "decimal":
                precision = draw(st.sampled_from((1, 9, 38, 39, 76, 90)))
                scale = draw(st.integers(0, min(precision, 12)))
                return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
            case "fixed decimal":
                fixed = {"type": "fixed", "name": f"F{next(self._names)}", "size": 12}
                return fixed | {"logicalType": "decimal", "precision": 20, "scale": draw(st.integers(0, 20))}
            case "optional":
                inner = self.type(depth, in_union=True)
                return draw(st.permutations(["null", inner]))
            case "union":
                inner = self.type(depth + 1, in_union=True) if depth < DEEPEST else "boolean"
                if "logicalType" in inner:
                    # fastavro's writer takes the first branch that a value's Python type fits, and fails there.
                    inner = "boolean"
                others = [each for each in ("null", "long", "string") if each != _kind(inner)]
                return draw(st.permutations([*others, inner]))
            case "array":
                return {"type": "array", "items": self.type(depth + 1)}
            case "map":
                return {"type": "map", "values": self.type(depth + 1)}
            case "itself":
                # In a list, a map or as one that may be missing: else no value of it would end.
                name = draw(st.sampled_from(self._outer))
                forms: list[Any] = [{"type": "array", "items": name}, {"type": "map", "values": name}]
                return draw(st.sampled_from(forms + ([] if in_union else [["null", name]])))
        return self.record(depth + 1)


def _kind(schema: Any) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])


def values(schema: dict[str, Any]) -> SearchStrategy[dict[str, Any]]:
    """Values of a schema, as fastavro writes them."""

    @st.composite
    def drawn(draw: DrawFn) -> Any:
        return _Values(draw, schema).value(schema, 0)

    return drawn()


class _Values:
    """Draws one value."""

    def __init__(self, draw: DrawFn, schema: dict[str, Any]) -> None:
        self._draw = draw
        self._named: dict[str, Any] = {}
        self._know(schema)

    def _know(self, schema: Any) -> None:
        match schema:
            case list():
                for branch in schema:
                    self._know(branch)
            case {"type": "record", "name": name, "fields": fields}:
                self._named[name] = schema
                for field in fields:
                    self._know(field["type"])
            case {"items": inner} | {"values": inner}:
                self._know(inner)

    def value(self, schema: Any, depth: int) -> Any:
        draw = self._draw
        if isinstance(schema, list):
            if depth > 2 * DEEPEST and "null" in schema:
                return None
            return self.value(draw(st.sampled_from(schema)), depth)
        if isinstance(schema, str):
            return self.value(self._named[schema], depth) if schema in self._named else draw(_PLAIN[schema])
        if "logicalType" in schema:
            return draw(_logical(schema))
        kind = schema["type"]
        if kind == "record":
            return {field["name"]: self.value(field["type"], depth + 1) for field in schema["fields"]}
        if kind in ("array", "map"):
            # Above 63 items their count takes two bytes.
            most = (0,) if depth > 2 * DEEPEST else (0, 1, 2, 70) if schema.get("items") in PLAIN else (0, 1, 2)
            count = draw(st.sampled_from(most))
            if kind == "array":
                return [self.value(schema["items"], depth + 1) for _ in range(count)]
            return {draw(_PLAIN["string"]): self.value(schema["values"], depth + 1) for _ in range(count)}
        if kind == "enum":
            return draw(st.sampled_from(schema["symbols"]))
        return draw(st.binary(min_size=schema["size"], max_size=schema["size"]))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PLAIN: dict[str, SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=12) | st.sampled_from([bytes(range(256))]),
    "string": _TEXT | st.sampled_from(["a" * 63, "ü☃\U0001f600" * 8]),
}


def _logical(schema: dict[str, Any]) -> SearchStrategy[Any]:
    match schema["logicalType"]:
        case "uuid":
            return st.uuids()
        case "decimal":
            largest, scale = 10 ** schema["precision"] - 1, schema["scale"]
            return st.integers(-largest, largest).map(lambda number: _decimal(number, scale))
        case "date":
            return st.dates()
        case "time-millis":
            return st.times().map(_to_millis)
        case "time-micros":
            return st.times()
        case "timestamp-millis":
            return MOMENTS.map(lambda moment: _to_millis(moment).replace(tzinfo=UTC))
        case "timestamp-micros":
            return MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC))
        case "local-timestamp-millis":
            return MOMENTS.map(_to_millis)
    return MOMENTS


def _decimal(number: int, scale: int) -> Decimal:
    digits = tuple(map(int, str(abs(number))))
    return Decimal((int(number < 0), digits, -scale))


def _to_millis(moment: Any) -> Any:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def encoded(schema: dict[str, Any], value: Any, schema_id: int) -> bytes:
    """An event's value in the wire format, written by fastavro."""
    body = BytesIO()
    schemaless_writer(body, parse_schema(deepcopy(schema)), value)
    return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()


def read_by_fastavro(value: bytes, schema: dict[str, Any], reader: dict[str, Any] | None = None) -> Any:
    """What fastavro alone makes of an event's value; ValueError where bytes are left over."""
    body = BytesIO(value[5:])
    record = schemaless_reader(body, parse_schema(deepcopy(schema)), reader and parse_schema(deepcopy(reader)))
    if left := body.read():
        raise ValueError(f"{len(left)} bytes are left over")
    return record


@st.composite
def damaged(draw: DrawFn, good: bytes) -> bytes | None:
    """An event's value after something happened to it; perhaps it can be read all the same."""
    match draw(
        st.sampled_from(("random", "cut", "flipped", "magic", "unknown id", "trailing", "tombstone", "spliced"))
    ):
        case "random":
            return draw(st.binary(max_size=40))
        case "cut":
            return good[: draw(st.integers(0, len(good) - 1))]
        case "flipped" if len(good) > 5:
            place, bit = draw(st.integers(5, len(good) - 1)), draw(st.integers(0, 7))
            return good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
        case "magic":
            return bytes([draw(st.integers(1, 255))]) + good[1:]
        case "unknown id":
            return b"\0" + draw(st.binary(min_size=4, max_size=4)) + good[5:]
        case "tombstone":
            return None
        case "spliced":
            place = draw(st.integers(5, max(5, len(good))))
            # Hostile on purpose: the longest numbers, counts without end, a length below 0.
            return good[:place] + draw(st.sampled_from(_HOSTILE)) + good[place:]
    return good + draw(st.binary(min_size=1, max_size=9))


_HOSTILE = (b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x01", b"\x03\x02", b"\x80\x00", b"\xc3", b"")


@dataclass
class Evolved:
    """A writer's schema and a later one that reads its events."""

    writer: dict[str, Any]
    reader: dict[str, Any]


@st.composite
def evolved(draw: DrawFn) -> Evolved:
    """Two versions of a schema: fields added with defaults, taken away, put elsewhere, renamed, made wider."""
    writer = draw(schemas())
    reader = deepcopy(writer)
    fields = [_wider(draw, field) for field in reader["fields"]]
    gone = draw(st.integers(0, len(fields) - 1))
    fields = draw(st.permutations(fields))[gone:]
    for number, new in enumerate(draw(st.permutations(_NEW))[: draw(st.integers(0, 3))]):
        fields.insert(draw(st.integers(0, len(fields))), {"name": f"new{number}", **new})
    reader["fields"] = fields
    return Evolved(writer, reader)


# None whose JSON stands for something else, as a timestamp's number does: there fastavro gives the number.
_NEW: tuple[dict[str, Any], ...] = (
    {"type": "string", "default": "ü"},
    {"type": ["null", "long"], "default": None},
    {"type": "long", "default": -7},
    {"type": "double", "default": 0.5},
    {"type": "boolean", "default": True},
    {"type": {"type": "array", "items": "string"}, "default": ["a"]},
    {"type": {"type": "map", "values": "long"}, "default": {"a": 1}},
    {"type": {"type": "enum", "name": "NewEnum", "symbols": ["A", "B"]}, "default": "B"},
    {"type": {"type": "record", "name": "NewRecord", "fields": [{"name": "x", "type": "int"}]}, "default": {"x": 3}},
)
_WIDER = {"int": ("long", "double"), "long": ("double",), "float": ("double",)}


def _wider(draw: DrawFn, field: dict[str, Any]) -> dict[str, Any]:
    kind = field["type"]
    match draw(st.sampled_from(("same", "same", "wider", "optional", "renamed"))):
        case "wider" if isinstance(kind, str) and kind in _WIDER:
            return field | {"type": draw(st.sampled_from(_WIDER[kind]))}
        case "optional" if not isinstance(kind, list):
            return field | {"type": ["null", kind]}
        case "renamed":
            return field | {"name": field["name"] + "_now", "aliases": [field["name"]]}
    return field


def as_shown(value: Any) -> Any:
    """A value in the form in which two are compared: NaN is equal to NaN, and -0.0 isn't 0.0."""
    match value:
        case dict():
            return {name: as_shown(each) for name, each in value.items()}
        case list():
            return [as_shown(each) for each in value]
        case float():
            return "NaN" if math.isnan(value) else ("-0.0" if value == 0 and math.copysign(1, value) < 0 else value)
        case datetime() | date() | time():
            return value.isoformat()
    return value
