"""Does a record fit its Avro schema? Compiled once per schema into a closure per field.

fastavro's writers take what they can convert: 1.7 becomes 1, True becomes 1, a text becomes an array of letters, an
`int` may exceed 32 bits (fastavro 1.13.1, _write.pyx). An event must hold what its publisher meant, so each is checked
before it is written. fastavro's own validate() tells the same, but takes 10 microseconds for 7 fields; these take 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from tidemill.errors import ContractError

Check = Callable[[Any], None]


class Mismatch(Exception):
    """A value doesn't fit; `path` leads to it from the record."""

    def __init__(self, found: object, expected: str, path: str = "") -> None:
        super().__init__(path, expected)
        self.found, self.expected, self.path = found, expected, path

    def within(self, step: str) -> Mismatch:
        """The same mismatch seen from one level further out."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{step}{joint}{self.path}"
        return self


def compile_check(schema: Any, named: dict[str, Check] | None = None, namespace: str = "") -> Check:
    """A function that raises Mismatch where a value doesn't fit.

    Args:
        schema: Avro schema as Python data (Avro 1.12 specification).
        named: Checks of the named types met so far, by full name.
        namespace: Namespace that unqualified names belong to.

    Raises:
        ContractError: The schema uses a type that doesn't exist.
    """
    named = {} if named is None else named
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return _PRIMITIVES[schema]
        full = schema if "." in schema or not namespace else f"{namespace}.{schema}"
        if full in named or schema in named:
            name = full if full in named else schema
            # Looked up when it runs: a recursive type's check doesn't exist yet.
            return lambda value: named[name](value)
        raise ContractError(f"Avro type {schema!r} is not known here.")
    if isinstance(schema, list):
        return _union([(branch, compile_check(branch, named, namespace)) for branch in schema])
    kind = schema["type"]
    logical = schema.get("logicalType")
    if logical in _LOGICAL and kind in _LOGICAL[logical]:
        check = _decimal(schema) if logical == "decimal" else _LOGICAL_CHECKS[logical]
        if kind == "fixed":
            named[_full_name(schema, namespace)] = check
        return check
    if kind == "record":
        return _record(schema, named, schema.get("namespace", namespace))
    if kind == "array":
        return _array(compile_check(schema["items"], named, namespace))
    if kind == "map":
        return _map(compile_check(schema["values"], named, namespace))
    if kind in ("enum", "fixed"):
        check = _enum(schema["symbols"]) if kind == "enum" else _fixed(schema["size"])
        named[_full_name(schema, namespace)] = check
        return check
    return compile_check(kind, named, namespace)


def _full_name(schema: dict[str, Any], namespace: str) -> str:
    name: str = schema["name"]
    space = schema.get("namespace", namespace)
    return name if "." in name or not space else f"{space}.{name}"


def _record(schema: dict[str, Any], named: dict[str, Check], namespace: str) -> Check:
    fields: list[tuple[str, Check]] = []

    def check(record: Any) -> None:
        if type(record) is not dict:
            raise Mismatch(record, f"a {schema['name']}")
        for name, inner in fields:
            try:
                inner(record[name])
            except Mismatch as mismatch:
                raise mismatch.within(name) from None
            except KeyError:
                raise Mismatch(None, "present", name) from None

    named[_full_name(schema, namespace)] = check
    fields.extend((field["name"], compile_check(field["type"], named, namespace)) for field in schema["fields"])
    return check


def _array(item: Check) -> Check:
    def check(value: Any) -> None:
        if type(value) is not list and type(value) is not tuple:
            raise Mismatch(value, "a list")
        for index, element in enumerate(value):
            try:
                item(element)
            except Mismatch as mismatch:
                raise mismatch.within(f"[{index}]") from None

    return check


def _map(item: Check) -> Check:
    def check(value: Any) -> None:
        if type(value) is not dict:
            raise Mismatch(value, "a dict with text keys")
        for key, element in value.items():
            if not isinstance(key, str):
                raise Mismatch(key, "a dict with text keys")
            try:
                item(element)
            except Mismatch as mismatch:
                raise mismatch.within(f"[{key!r}]") from None

    return check


def _union(branches: list[tuple[Any, Check]]) -> Check:
    if len(branches) == 2 and "null" in (branches[0][0], branches[1][0]):
        inner = branches[0][1] if branches[1][0] == "null" else branches[1][1]

        def nullable(value: Any) -> None:
            if value is not None:
                try:
                    inner(value)
                except Mismatch as mismatch:
                    if not mismatch.path:
                        mismatch.expected += " or None"
                    raise

        return nullable

    def check(value: Any) -> None:
        expected = []
        for _, branch in branches:
            try:
                return branch(value)
            except Mismatch as mismatch:
                expected.append(mismatch.expected)
        raise Mismatch(value, " or ".join(expected))

    return check


def _enum(symbols: list[str]) -> Check:
    allowed = frozenset(symbols)
    expected = "one of " + ", ".join(symbols)

    def check(value: Any) -> None:
        if type(value) is not str or value not in allowed:
            raise Mismatch(value, expected)

    return check


def _fixed(size: int) -> Check:
    def check(value: Any) -> None:
        if type(value) is not bytes or len(value) != size:
            raise Mismatch(value, f"exactly {size} bytes")

    return check


def _decimal(schema: dict[str, Any]) -> Check:
    precision, scale = schema["precision"], schema.get("scale", 0)
    expected = f"a Decimal of at most {precision} digits, {scale} of them after the point"

    def check(value: Any) -> None:
        if type(value) is not Decimal or not value.is_finite():
            raise Mismatch(value, expected)
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if -exponent > scale or (value and len(digits) + exponent > precision - scale):
            raise Mismatch(value, expected)

    return check


def _exactly(kind: type, expected: str) -> Check:
    def check(value: Any) -> None:
        if type(value) is not kind:
            raise Mismatch(value, expected)

    return check


def _integer(bits: int) -> Check:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    expected = f"a whole number of {bits} bits"

    def check(value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(value, expected)

    return check


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise Mismatch(value, "text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Mismatch(value, "text that UTF-8 can hold (no lone surrogates)") from None


def _number(largest: float, bits: int) -> Check:
    expected = f"a number that {bits} bits can hold"

    def check(value: Any) -> None:
        if type(value) is float:
            # Infinity and NaN are values of Avro's; what is merely too large would become infinity in silence.
            if not -largest <= value <= largest and math.isfinite(value):
                raise Mismatch(value, expected)
        elif type(value) is not int:
            raise Mismatch(value, "a number")
        elif not -largest <= value <= largest:
            raise Mismatch(value, expected)

    return check


def _bytes(value: Any) -> None:
    if not isinstance(value, bytes):
        raise Mismatch(value, "bytes")


def _none(value: Any) -> None:
    if value is not None:
        raise Mismatch(value, "None")


def _aware(value: Any) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Mismatch(value, "a datetime with a time zone")


def _naive(value: Any) -> None:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise Mismatch(value, "a datetime without a time zone")


def _time(value: Any) -> None:
    if type(value) is not time or value.tzinfo is not None:
        raise Mismatch(value, "a time without a time zone")


_PRIMITIVES: dict[str, Check] = {
    "null": _none,
    "boolean": _exactly(bool, "True or False"),
    "int": _integer(32),
    "long": _integer(64),
    "float": _number(3.4028234663852886e38, 32),
    "double": _number(sys.float_info.max, 64),
    "string": _text,
    "bytes": _bytes,
}
_LOGICAL: dict[str, tuple[str, ...]] = {
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "date": ("int",),
    "uuid": ("string",),
    "decimal": ("bytes", "fixed"),
}
_LOGICAL_CHECKS: dict[str, Check] = {
    "timestamp-millis": _aware,
    "timestamp-micros": _aware,
    "local-timestamp-millis": _naive,
    "local-timestamp-micros": _naive,
    "time-millis": _time,
    "time-micros": _time,
    "date": _exactly(date, "a date"),
    "uuid": _exactly(UUID, "a uuid.UUID"),
}
