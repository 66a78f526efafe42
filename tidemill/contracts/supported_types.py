"""Which Avro types a contract may use: those with one clear Python form, read and written alike by every client.

Computes only. The Python forms themselves are in `python_types.py`.
"""

from __future__ import annotations

from tidemill.contracts.faults import did_you_mean
from tidemill.contracts.schema import (
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Report,
    Union,
    optional_of,
    short_name,
)

_LOGICAL_BASES: dict[str, tuple[str, ...]] = {
    "uuid": ("string",),
    "decimal": ("bytes", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
}


def check_type(type_: AvroType, where: str, report: Report) -> None:
    """Report what in a type has no Python form.

    Args:
        type_: A field's type.
        where: The field, for messages.
        report: Called for each fault, with what was found and what to do.
    """
    match type_:
        case Array():
            if takes_no_bytes(type_.items):
                report(
                    f"{where} is {describe(type_)}, whose items take no bytes: any number fits into ten bytes.",
                    "Give the record a field, or say how many there are: a long.",
                )
            check_type(type_.items, where, report)
        case Map():
            check_type(type_.values, where, report)
        case Union():
            inner = optional_of(type_)
            if inner is None or isinstance(inner, Union):
                report(
                    f"{where} is {describe(type_)}; only the union of null and one type is possible.",
                    "Use a record with one nullable field for each, or one event type for each.",
                )
            else:
                check_type(inner, where, report)
        case Primitive(kind="null"):
            report(f"{where} is always null.", 'Write ["null", <type>] for a value that may be missing.')
        case Primitive() | Fixed() if type_.logical is not None:
            _check_logical(type_, type_.logical, where, report)


def _check_logical(type_: Primitive | Fixed, logical: str, where: str, report: Report) -> None:
    bases = _LOGICAL_BASES.get(logical)
    kind = type_.kind if isinstance(type_, Primitive) else "fixed"
    if bases is None:
        hint = did_you_mean(logical, _LOGICAL_BASES)
        if logical.endswith("timestamp-nanos"):
            hint = "Python's datetime ends at microseconds: use timestamp-micros, or a plain long."
        elif logical == "duration":
            hint = "Use a long with its unit in the name, e.g. length_ms."
        report(
            f"{where}: logical type {logical!r} is not supported.", hint or f"Known are {', '.join(_LOGICAL_BASES)}."
        )
    elif kind not in bases:
        report(f"{where}: logical type {logical!r} can't stand on {kind}.", f"It needs {' or '.join(bases)}.")
    elif logical == "decimal" and isinstance(type_, Fixed) and _decimal_bytes(type_.precision) > type_.size:
        need = _decimal_bytes(type_.precision)
        report(f"{where}: {type_.precision} digits don't fit into {type_.size} bytes.", f"Set its size to {need}.")


def _decimal_bytes(precision: int) -> int:
    """Bytes that a two's-complement number of so many digits takes."""
    bits: int = (10**precision).bit_length()
    return bits // 8 + 1


def takes_no_bytes(type_: AvroType) -> bool:
    """Whether every value of a type is encoded as nothing at all, as null is, and a record without fields."""
    return _takes_no_bytes(type_, set())


def _takes_no_bytes(type_: AvroType, outer: set[int]) -> bool:
    if isinstance(type_, Record):
        if id(type_) in outer:
            return True  # As far as itself is concerned; its other fields decide.
        return all(_takes_no_bytes(field.type, outer | {id(type_)}) for field in type_.fields)
    return type_ == Primitive("null")


def describe(type_: AvroType) -> str:
    """An Avro type in words, for messages."""
    match type_:
        case Primitive() | Fixed() if type_.logical is not None:
            return type_.logical if type_.logical != "decimal" else f"decimal({type_.precision}, {type_.scale})"
        case Primitive():
            return type_.kind
        case Fixed():
            return f"fixed {short_name(type_.name)} of {type_.size} bytes"
        case Enum():
            return f"enum {short_name(type_.name)}"
        case Array():
            return f"a list of {describe(type_.items)}"
        case Map():
            return f"a map of {describe(type_.values)}"
        case Union():
            return "a union of " + ", ".join(map(describe, type_.branches))
        case Record():
            return f"record {short_name(type_.name)}"
