"""What an effect returns, as the ledger keeps it: JSON. Computes only."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tidemill.errors import EffectError

MOST_BYTES = 256 * 1024
"""Largest result; larger things belong into the object store."""
_NO_JSON = (bytes, bytearray, set, frozenset, complex, date, time, timedelta, Decimal, UUID)
_HINT = "Return what JSON has (text, numbers, true, false, null, lists, dicts with text as keys), or None."


def as_json(value: object) -> str:
    """The text that the ledger keeps.

    Raises:
        EffectError: It has no JSON form, or is too large; says what it is.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        # A dict with numbers as keys has a JSON form, and comes back as another dict.
        if _other_keys(value):
            raise TypeError("a dict's keys must be text")
    except (TypeError, ValueError, RecursionError) as error:
        raise EffectError(f"What it returned is no JSON ({type(value).__name__}): {error}.", hint=_HINT) from error
    if len(text) > MOST_BYTES:
        raise EffectError(
            f"What it returned is too large: {len(text):,} bytes of JSON, expected at most {MOST_BYTES:,}.",
            hint="Write it to the object store, and return its address.",
        )
    return text


def _other_keys(value: object) -> bool:
    """Whether there is a dict in it whose keys aren't text; only asked of what json has walked through."""
    if isinstance(value, dict):
        return any(not isinstance(key, str) or _other_keys(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(map(_other_keys, value))


def refuse_unkeepable(effect: Callable[[], Any]) -> None:
    """Refuse an effect that says by its annotation that it returns what can't be kept, while it hasn't happened yet.

    Raises:
        EffectError: It does.
    """
    if "return" not in getattr(effect, "__annotations__", ()):
        return  # A lambda, or a partial: it is looked at what it returns.
    try:
        said = inspect.get_annotations(typing.cast(Any, effect), eval_str=True)["return"]
    except Exception:  # noqa: BLE001 - an annotation that names nothing can't tell anything, and harms nobody
        return
    if isinstance(said, type) and _is_no_json(said):
        raise EffectError(
            f"The effect {effect.__qualname__} returns {said.__name__}, which is no JSON; it was not begun.", hint=_HINT
        )


def _is_no_json(said: type) -> bool:
    # Only what surely is none: behind a protocol, say, there may be anything.
    return issubclass(said, _NO_JSON) or dataclasses.is_dataclass(said)
