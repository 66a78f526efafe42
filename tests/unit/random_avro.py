"""Schemas as contracts have them, and values for them, made at random from a seed."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

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


def random_schema(chance: random.Random) -> dict[str, Any]:
    """A record of one to eight fields, in which no name is used twice."""
    names = iter(range(10_000))
    return _record(chance, names, depth=0)


def _record(chance: random.Random, names: Any, depth: int) -> dict[str, Any]:
    number = next(names)
    count = chance.randint(1, 8 - 2 * depth)
    fields = [{"name": f"f{number}_{place}", "type": _type(chance, names, depth)} for place in range(count)]
    return {"type": "record", "name": f"R{number}", "fields": fields}


def _type(chance: random.Random, names: Any, depth: int, *, nullable: bool = True) -> Any:
    kinds = ["plain"] * 4 + ["logical"] * 2 + ["enum", "fixed", "decimal"]
    kinds += ["optional"] * 3 if nullable else []
    kinds += ["array", "map", "record"] if depth < 3 else []
    match chance.choice(kinds):
        case "plain":
            return chance.choice(PLAIN)
        case "logical":
            kind, logical = chance.choice(LOGICAL)
            return {"type": kind, "logicalType": logical}
        case "enum":
            return {
                "type": "enum",
                "name": f"E{next(names)}",
                "symbols": [f"s{n}" for n in range(chance.randint(1, 90))],
            }
        case "fixed":
            return {"type": "fixed", "name": f"F{next(names)}", "size": chance.randint(1, 9)}
        case "decimal":
            return {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
        case "optional":
            inner = _type(chance, names, depth, nullable=False)
            return chance.choice([["null", inner], [inner, "null"]])
        case "array":
            return {"type": "array", "items": _type(chance, names, depth + 1)}
        case "map":
            return {"type": "map", "values": _type(chance, names, depth + 1)}
    return _record(chance, names, depth + 1)


def random_value(chance: random.Random, schema: Any) -> Any:
    """A value that fastavro writes for a schema of `random_schema`."""
    if isinstance(schema, list):
        return random_value(chance, chance.choice(schema))
    if isinstance(schema, str):
        return _plain(chance, schema)
    if "logicalType" in schema:
        return _logical(chance, schema["logicalType"])
    match schema["type"]:
        case "record":
            return {field["name"]: random_value(chance, field["type"]) for field in schema["fields"]}
        case "array":
            # Above 63 items their count takes two bytes.
            count = chance.choice((0, 1, 3, 70 if isinstance(schema["items"], str) else 2))
            return [random_value(chance, schema["items"]) for _ in range(count)]
        case "map":
            items = range(chance.choice((0, 1, 3)))
            return {_plain(chance, "string"): random_value(chance, schema["values"]) for _ in items}
        case "enum":
            return chance.choice(schema["symbols"])
        case "fixed":
            return chance.randbytes(schema["size"])
    raise TypeError(f"{schema!r} is none of random_schema's")


def _plain(chance: random.Random, kind: str) -> Any:
    match kind:
        case "null":
            return None
        case "boolean":
            return chance.random() < 0.5
        case "int" | "long":
            bits = chance.randint(0, 31 if kind == "int" else 63)
            return chance.randrange(-(1 << bits), 1 << bits)
        case "float":
            return chance.randint(-(1 << 20), 1 << 20) / 64
        case "double":
            return chance.choice((chance.random(), float("inf"), -0.0, float("nan"), 1e300))
        case "bytes":
            return chance.randbytes(chance.choice((0, 1, 9, 63, 64, 300)))
    return "".join(chance.choices("aü☃\U0001f600 ", k=chance.choice((0, 1, 9, 32, 64, 9000))))


def _logical(chance: random.Random, logical: str) -> Any:
    seconds = chance.randint(-60_000_000_000, 200_000_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, milliseconds=chance.randrange(1000))
    match logical:
        case "uuid":
            return UUID(int=chance.getrandbits(128))
        case "decimal":
            return Decimal(chance.randint(-999_999_999, 999_999_999)).scaleb(-2)
        case "date":
            return date.fromordinal(chance.randint(1, date.max.toordinal()))
        case "time-millis" | "time-micros":
            return time(chance.randrange(24), chance.randrange(60), chance.randrange(60), chance.randrange(1000) * 1000)
        case "timestamp-millis" | "timestamp-micros":
            return moment
    return moment.replace(tzinfo=None)
