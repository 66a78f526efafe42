"""Which field of an event holds something that can't even be turned into a record: asked only after that has failed.

The generated `to_record` is straight-line code that trusts types, for speed; this walk gives its failures a name.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from tidemill.contracts.contract import Payload
from tidemill.contracts.schema import Array, AvroType, Map, Record, optional_of, read_schema, short_name
from tidemill.validation import Mismatch


def find_misfit(payload: Payload) -> Mismatch | None:
    """The first nested list, map or record of an event that isn't one; None if all are.

    Args:
        payload: An instance of a generated event class whose `to_record` has raised.
    """
    type_, _ = read_schema(type(payload).__contract__.schema, lambda found, hint=None: None)
    try:
        _walk(type_, payload)
    except Mismatch as mismatch:
        return mismatch
    return None


def _walk(type_: AvroType, value: Any) -> None:
    optional = optional_of(type_)
    if optional is not None:
        if value is not None:
            _walk(optional, value)
        return
    match type_:
        case Record():
            if not is_dataclass(value) or isinstance(value, type):
                raise Mismatch(value, f"a {short_name(type_.name)}")
            for field in type_.fields:
                _step(field.type, getattr(value, field.name, None), field.name)
        case Array():
            if not isinstance(value, (list, tuple)):
                raise Mismatch(value, "a list")
            for index, item in enumerate(value):
                _step(type_.items, item, f"[{index}]")
        case Map():
            if not isinstance(value, dict):
                raise Mismatch(value, "a dict with text keys")
            for key, item in value.items():
                _step(type_.values, item, f"[{key!r}]")


def _step(type_: AvroType, value: Any, step: str) -> None:
    try:
        _walk(type_, value)
    except Mismatch as mismatch:
        raise mismatch.within(step) from None
