"""The quick way from JSON to Avro says what the exact one says, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from producers.gateway.events.quick import compile_quick
from producers.gateway.json_schema import json_schema
from tidemill.codec import PREFIX_BYTES, Codec
from tidemill.errors import TidemillError
from tidemill.events import EVENT_TYPES, ImageRequested
from tidemill.json_events import from_json, parse_json
from tidemill.testing import MemorySchemas

CODEC = Codec(MemorySchemas())
STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    1.5,
    3.0,
    1e400,
    "",
    "a:b",
    "ä\U0001f600",
    'q"\\',
    [],
    {},
    [1],
    {"a": 1},
]


def exact(cls: Any, line: bytes) -> tuple[bytes, str | None] | None:
    """What the exact way makes of a line; None where it refuses."""
    try:
        payload = from_json(cls, parse_json(line))
        return CODEC.encode(payload)[PREFIX_BYTES:], cls.__contract__.key_of(payload)
    except TidemillError:
        return None


def made(schema: dict[str, Any], definitions: dict[str, Any], rng: random.Random) -> Any:
    """A value that mostly fits a JSON Schema."""
    if rng.random() < 0.03:
        return rng.choice(STRANGE)
    if "$ref" in schema:
        return made(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions, rng)
    if "anyOf" in schema:
        return made(rng.choice(schema["anyOf"]), definitions, rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            wanted = schema["required"]
            return {
                name: made(inner, definitions, rng)
                for name, inner in schema["properties"].items()
                if name in wanted or rng.random() < 0.6
            }
        case "object":
            inner = schema["additionalProperties"]
            return {rng.choice("ab:ü"): made(inner, definitions, rng) for _ in range(rng.randrange(3))}
        case "array":
            return [made(schema["items"], definitions, rng) for _ in range(rng.randrange(4))]
        case "integer":
            return rng.choice([0, 1, -1, 8191, 8192, 2**31 - 1, -(2**31), rng.randrange(-(2**31), 2**31)])
        case "number":
            return rng.choice([0.5, -1e300, 3, rng.random()])
        case "boolean":
            return rng.random() < 0.5
        case "string" if schema.get("format") == "date-time":
            return "2026-11-22T12:30:00Z"
        case "string":
            return rng.choice(["a", "s3://b/c.jpg", "x" * 9_000, "ü:€", 'quoted "text"', "\n"])
    return None


@pytest.mark.parametrize("cls", EVENT_TYPES, ids=lambda cls: str(cls.__contract__.type))
def test_it_says_what_the_exact_way_says_or_nothing(cls: Any) -> None:
    quick = compile_quick(cls.__contract__)
    if quick is None:
        assert '"date-time"' in json.dumps(json_schema(cls.__contract__)), "it has no field that isn't plain"
        return
    schema = json_schema(cls.__contract__)
    rng = random.Random(7)
    answered = 0
    for _ in range(150):
        value = made(schema, schema.get("$defs", {}), rng)
        line = json.dumps(value, ensure_ascii=rng.random() < 0.2).encode()
        found = quick(line)
        if found is not None:
            answered += 1
            assert found == exact(cls, line), line
    assert answered > 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"source": "a", "source": "b", "renditions": []}',
        b'{"source": "a", "source" : "b:", "renditions": []}',
        b'{"source": "a\\u003a", "source" :"b", "renditions": []}',
        b'{"source": "a", "renditions": [{"name": "x", "name": "y"}]}',
        b'{"source": "a", "renditions": [], "more": 1}',
        b'{"source": "a", "renditions": [{"name": "x", "width": 1.0}]}',
        b'{"source": "a", "renditions": [{"name": "x", "width": 99999999999}]}',
        b'{"source": "", "renditions": []}',
        b'{"source": "a\xff", "renditions": []}',
        b'\xef\xbb\xbf{"source": "a", "renditions": []}',
        b'{"source": NaN, "renditions": []}',
        b"[" * 5_000,
        b"7",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_exact_way(line: bytes) -> None:
    quick = compile_quick(ImageRequested.__contract__)
    assert quick is not None
    assert quick(line) is None
