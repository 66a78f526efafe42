"""Durations as people write them in contracts: `90s`, `15m`, `6h`, `7d`, `forever`."""

from __future__ import annotations

import re
from datetime import timedelta

FOREVER = "forever"
LONGEST = timedelta(days=36_500)

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_PATTERN = re.compile(r"([0-9]{1,12})([smhd])")


def parse_duration(text: object) -> timedelta | None:
    """The duration that a text means; None for `forever`.

    Raises:
        ValueError: It isn't a duration, is zero, or is longer than a hundred years; the message says how to write it.
    """
    if text == FOREVER:
        return None
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("Write a whole number and a unit, as in 90s, 15m, 6h or 7d, or write forever.")
    count = int(match[1])
    if count == 0:
        raise ValueError("It must be at least 1s.")
    if count > LONGEST // _UNITS[match[2]]:
        raise ValueError("More than 100 years: write forever.")
    return count * _UNITS[match[2]]


def format_duration(duration: timedelta | None) -> str:
    """The shortest text that `parse_duration` reads as the same duration."""
    if duration is None:
        return FOREVER
    for unit in "dhm":
        if duration % _UNITS[unit] == timedelta():
            return f"{duration // _UNITS[unit]}{unit}"
    return f"{duration // _UNITS['s']}s"
