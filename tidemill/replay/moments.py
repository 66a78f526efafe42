"""Where a replay begins and ends, as people say it: "2h", "yesterday", an ISO time, offsets. Computes only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TypeAlias

from tidemill.errors import ConfigError

When: TypeAlias = datetime | timedelta | str | Mapping[int, int] | None
"""A time, an age, words for either, or an offset for each partition."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w)(?:\s+ago)?")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*")
_HINT = (
    'Write "beginning", "end", "now", "today", "yesterday", an age such as "2h" or "7d", a time such as '
    '"2026-11-24 09:30" or "2026-11-24T09:30:00Z", or offsets by partition such as "0:1500,1:1720".'
)


@dataclass(frozen=True)
class Bound:
    """One end of a replay; with neither time nor offsets, the topic's own beginning or end."""

    time_ms: int | None = None
    """Milliseconds since 1970."""
    offsets: Mapping[int, int] | None = None
    """Offset by partition."""
    only_these: bool = True
    """Whether partitions without an offset aren't read; else they begin as if there were no offsets."""


def bound(when: When, now: datetime, *, is_start: bool) -> Bound:
    """What a start or an end means.

    Args:
        when: As given; a time without a zone is this machine's local time, None is the topic's own beginning or end.
        now: The present, aware.
        is_start: Whether it is the start: "end" makes no sense there, "beginning" none at the end.

    Raises:
        ConfigError: It is none of these.
    """
    if when is None:
        return Bound()
    if isinstance(when, Mapping):
        return Bound(offsets=_checked(when))
    if isinstance(when, timedelta):
        return Bound(_ms(now - when))
    if isinstance(when, datetime):
        return Bound(_ms(when))
    if not isinstance(when, str):
        raise ConfigError(f"{when!r} is no start or end of a replay.", hint=_HINT)
    text = when.strip()
    if text == ("beginning" if is_start else "end"):
        return Bound()
    if _OFFSETS.fullmatch(text):
        return Bound(offsets={int(part): int(at) for part, at in (each.split(":") for each in text.split(","))})
    return Bound(_ms(_moment(text, now)))


def _moment(text: str, now: datetime) -> datetime:
    midnight = datetime.combine(now.astimezone().date(), time())
    match text:
        case "now":
            return now
        case "today":
            return midnight
        case "yesterday":
            # By the calendar: a day with a change of the clock has 23 or 25 hours.
            return midnight - timedelta(days=1)
    age = _AGE.fullmatch(text)
    try:
        return now - float(age[1]) * _UNITS[age[2]] if age else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no start or end of a replay.", hint=_HINT) from error


def _checked(offsets: Mapping[int, int]) -> dict[int, int]:
    for partition, offset in offsets.items():
        if not isinstance(partition, int) or not isinstance(offset, int) or partition < 0 or offset < 0:
            raise ConfigError(
                f"Offsets are whole numbers by partition, found {partition!r}: {offset!r}.",
                hint="Write {0: 1500, 1: 1720}.",
            )
    return dict(offsets)


def _ms(moment: datetime) -> int:
    try:
        return int(moment.timestamp() * 1000)
    except (OverflowError, OSError, ValueError) as error:
        raise ConfigError(f"{moment} can't be a time of an event: {error}.", hint=_HINT) from error
