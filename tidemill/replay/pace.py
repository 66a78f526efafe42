"""How fast a replay publishes: as it happened, a multiple of that, or so many events a second. Computes only."""

from __future__ import annotations

import re

from tidemill.errors import ConfigError

_SPEED = re.compile(r"(\d+(?:\.\d+)?)x?")


def parse_speed(text: str) -> float | None:
    """The factor of "1x", "10x" or "0.5x"; None for "max".

    Raises:
        ConfigError: It is none of these.
    """
    if text == "max":
        return None
    found = _SPEED.fullmatch(text)
    if not found or float(found[1]) <= 0:
        raise ConfigError(f"{text!r} is no speed.", hint='Write "1x" for as fast as it happened, "10x", or "max".')
    return float(found[1])


class Pace:
    """Says when each event is due.

    Args:
        speed: How many times as fast as the events' timestamps; None for no regard to them.
        per_second: Events a second at most; None for no limit.
    """

    def __init__(self, speed: float | None, per_second: float | None) -> None:
        if per_second is not None and not per_second > 0:
            raise ConfigError(f"{per_second} events a second is no rate.", hint="It must be above 0.")
        self._speed = speed
        self._gap_seconds = 0.0 if per_second is None else 1 / per_second
        self._began: tuple[float, int] | None = None
        self._next = 0.0

    def due(self, timestamp_ms: int, now: float) -> float:
        """When an event is due.

        Args:
            timestamp_ms: Its timestamp, milliseconds since 1970; one earlier than those before it is due at once.
            now: A monotonic clock, seconds.

        Returns:
            A time of the same clock; at most `now` if the event is due.
        """
        if self._began is None:
            self._began = (now, timestamp_ms)
            self._next = now
        due = self._next if self._gap_seconds else now
        if self._speed is not None:
            began, first_ms = self._began
            due = max(due, began + (timestamp_ms - first_ms) / 1000 / self._speed)
        if self._gap_seconds:
            # After a stop the rate goes on; what was missed is not made up in a burst.
            self._next = max(due, now - 1.0) + self._gap_seconds
        return due
