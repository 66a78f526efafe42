"""From a line of JSON straight to Avro bytes, for lines that are as plain as nearly all are; others take the exact way.

Checking an event field by field, as `json_events` and the codec do, takes four times as long as this one function,
which is made of the schema as `tidemill.reading` makes one. It never judges: whatever isn't plain (a backslash, a wrong
type, a fraction where a whole number belongs, a type of its own such as a date) it gives back: the exact way decides
and finds the words.

orjson takes a property that is written twice without a word. In a text without backslashes each property has one colon,
and every other colon is within a text: so where properties and colons of what was read come to as many as the line has
colons, nothing was dropped.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Any

import orjson

from tidemill.contracts.schema import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Map,
    Primitive,
    Record,
    Union,
    optional_of,
    read_schema,
)
from tidemill.encoding import SMALL_LONGS, encode_long, encoded_default

if TYPE_CHECKING:
    from tidemill.contracts.contract import Contract

Quick = Callable[[bytes], tuple[bytes, str | None] | None]
"""Takes a line; gives the event's Avro body and its key, or None where the exact way has to look at it."""

BITS = {"int": 31, "long": 63}
LARGEST = 1.7976931348623157e308
MOST_KEY = 2_000
INDENT = "    "
NOTHING_PLAIN = ["raise NotPlain"]
_NUMBERS = count(1)


class NotPlain(Exception):
    """Something that the exact way has to look at."""


def compile_quick(contract: Contract) -> Quick | None:
    """The function for a contract; None where its key or a field that must be there isn't plain."""
    faults: list[str] = []
    type_, _ = read_schema(contract.schema, lambda found, hint=None: faults.append(found))
    if faults or not isinstance(type_, Record):
        return None
    source = _Source()
    try:
        name = source.record(type_)
    except NotPlain:
        return None
    convert: Callable[[Any, Any], int] = source.compiled(contract.type)[name]
    key_field = contract.key

    def quick(line: bytes) -> tuple[bytes, str | None] | None:
        if b"\\" in line:
            return None
        try:
            event = orjson.loads(line)
            parts: list[bytes] = []
            colons = convert(event, parts.append)
        except (NotPlain, ValueError, RecursionError):
            return None
        if colons != line.count(b":"):
            return None
        if key_field is None:
            return b"".join(parts), None
        key = event.get(key_field)
        if type(key) is not str or not 1 <= len(key) <= MOST_KEY or not key.isprintable():
            return None
        return b"".join(parts), key

    return quick


class _Source:
    """The text of the functions, one for each record."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._names: dict[int, str] = {}
        self._constants: dict[str, Any] = {
            "M": object(),
            "Z": SMALL_LONGS,
            "long": encode_long,
            "double": Struct("<d").pack,
            "NotPlain": NotPlain,
        }

    def compiled(self, label: str) -> dict[str, Any]:
        text = "\n".join(self._lines)
        file = f"<quick {label} {next(_NUMBERS)}>"
        # So that a traceback shows the lines.
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), self._constants)
        return self._constants

    def constant(self, value: Any) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def record(self, record: Record) -> str:
        if id(record) in self._names:
            return self._names[id(record)]
        name = self._names[id(record)] = f"r{len(self._names)}"
        body = ["if type(d) is not dict: raise NotPlain", "n = k = 0", "get = d.get"]
        for each in record.fields:
            plain = self.value(each.type, "v", 0)
            if plain == NOTHING_PLAIN and each.default is MISSING:
                raise NotPlain
            body.append(f"v = get({each.name!r}, M)")
            body.append("if v is M:")
            if each.default is MISSING:
                body.append(f"{INDENT}raise NotPlain")
            else:
                body.append(f"{INDENT}w({self.constant(encoded_default(each.type, each.default))})")
            body.append("else:")
            body.append(f"{INDENT}k += 1")
            body += [INDENT + line for line in plain]
        # A property that is none of its fields.
        body += ["if k != len(d): raise NotPlain", "return n + k"]
        self._lines += [f"def {name}(d, w):", *(INDENT + line for line in body), ""]
        return name

    def value(self, type_: AvroType, name: str, depth: int) -> list[str]:
        match type_:
            case Primitive(kind="string", logical=None):
                return [f"if type({name}) is not str: raise NotPlain", *self.text(name)]
            case Primitive(kind="int" | "long", logical=None):
                limit = 1 << BITS[type_.kind]
                return [
                    f"if type({name}) is not int or not {-limit} <= {name} < {limit}: raise NotPlain",
                    f"w(Z[{name}] if 0 <= {name} < 8192 else long({name}))",
                ]
            case Primitive(kind="boolean"):
                return [
                    f"if {name} is True: w(b'\\x01')",
                    f"elif {name} is False: w(b'\\x00')",
                    "else: raise NotPlain",
                ]
            case Primitive(kind="double", logical=None):
                return [
                    f"if type({name}) is not float or not {-LARGEST!r} <= {name} <= {LARGEST!r}: raise NotPlain",
                    f"w(double({name}))",
                ]
            case Enum():
                symbols = self.constant({symbol: encode_long(number) for number, symbol in enumerate(type_.symbols)})
                return [
                    f"s = {symbols}.get({name}) if type({name}) is str else None",
                    "if s is None: raise NotPlain",
                    "w(s)",
                ]
            case Union() if (inner := optional_of(type_)) is not None:
                null_first = type_.branches[0] == Primitive("null")
                null, branch = (b"\x00", b"\x02") if null_first else (b"\x02", b"\x00")
                inside = self.value(inner, name, depth)
                return [
                    f"if {name} is None: w({null!r})",
                    "else:",
                    *(INDENT + line for line in [f"w({branch!r})", *inside]),
                ]
            case Array():
                item = f"i{depth}"
                return [
                    f"if type({name}) is not list: raise NotPlain",
                    f"if {name}:",
                    f"{INDENT}w(long(len({name})))",
                    f"{INDENT}for {item} in {name}:",
                    *(2 * INDENT + line for line in self.value(type_.items, item, depth + 1)),
                    "w(b'\\x00')",
                ]
            case Map():
                key, item = f"k{depth}", f"i{depth}"
                inside = [*self.text(key), *self.value(type_.values, item, depth + 1)]
                return [
                    f"if type({name}) is not dict: raise NotPlain",
                    f"if {name}:",
                    f"{INDENT}w(long(len({name})))",
                    f"{INDENT}n += len({name})",
                    f"{INDENT}for {key}, {item} in {name}.items():",
                    *(2 * INDENT + line for line in inside),
                    "w(b'\\x00')",
                ]
            case Record():
                return [f"n += {self.record(type_)}({name}, w)"]
        # Dates, decimals, bytes: only their absence is plain.
        return NOTHING_PLAIN

    def text(self, name: str) -> list[str]:
        return [
            f"n += {name}.count(':')",
            f"b = {name}.encode()",
            "l = len(b)",
            "w(Z[l] if l < 8192 else long(l))",
            "w(b)",
        ]
