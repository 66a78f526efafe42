"""JSON data of a definition, read property by property, each with its type checked.

Complaints are ValueErrors in plain words, for whoever knows what was being read to put into its own error. Unknown
properties are never looked at: a newer version may have added them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
_MISSING: Any = object()
_MOST_SECONDS = 4e9
_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number", dict: "an object", list: "a list"}


class Record:
    """A JSON object whose properties are taken by name. Every method raises ValueError for what doesn't fit."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def take(self, name: str, kind: type[T], default: T = _MISSING) -> T:
        """A property of exactly one type; it may be left out if there is a default."""
        value = self._data.get(name, default)
        if value is _MISSING:
            raise ValueError(f"{name!r} is missing")
        if type(value) is not kind:
            raise ValueError(f"{name!r} is {_shown(value)}, expected {_KINDS[kind]}")
        return value

    def text(self, name: str) -> str | None:
        """A text that may be left out."""
        return self.take(name, str) if name in self else None

    def choice(self, name: str, allowed: tuple[Any, ...], default: Any) -> Any:
        """One of some words."""
        value = self._data.get(name, default)
        if value not in allowed:
            raise ValueError(f"{name!r} is {_shown(value)}, expected one of {', '.join(allowed)}")
        return value

    def seconds(self, name: str, default: float) -> timedelta:
        """A length of time, written in seconds."""
        value = self._data.get(name, default)
        if type(value) not in (int, float) or not 0 <= value < _MOST_SECONDS:
            raise ValueError(f"{name!r} is {_shown(value)}, expected seconds, not less than 0")
        return timedelta(seconds=value)

    def moment(self, name: str) -> datetime | None:
        """A moment that may be left out, in UTC."""
        return moment(name, self.take(name, str)) if name in self else None

    def moments(self, name: str) -> list[datetime]:
        """A list of moments, in UTC."""
        return [moment(name, value) for value in self.take(name, list)]


def moment(name: str, value: object) -> datetime:
    """The moment that an ISO 8601 text with an offset means, in UTC.

    Raises:
        ValueError: It is no such text, or beyond the calendar's ends.
    """
    read = datetime.fromisoformat(value) if isinstance(value, str) else None
    if read is None or read.tzinfo is None:
        raise ValueError(f"{name!r} is {_shown(value)}, expected a date and time with a zone")
    try:
        return read.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{name!r} is {value}, beyond the calendar") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
