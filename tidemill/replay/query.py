"""What a replay is asked for, checked: topic, range, keys, columns, condition. Computes only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

from tidemill.errors import ConfigError
from tidemill.replay.moments import Bound, When, bound

OnError: TypeAlias = Literal["quarantine", "raise", "skip"]

SLACK = timedelta(minutes=10)
"""By how much events may lie in a topic later than their timestamps say, and still be found by an end in time."""


@dataclass(frozen=True)
class Query:
    """The questions that one scan answers."""

    topic: str
    start: Bound
    end: Bound
    keys: frozenset[bytes] | None
    columns: tuple[str, ...] | None
    where: Any
    partitions: frozenset[int] | None
    on_error: OnError
    slack_ms: int
    prune: bool

    def in_time(self, timestamp_ms: int) -> bool:
        """Whether a timestamp lies within the range, as far as the range is one in time."""
        if self.start.time_ms is not None and timestamp_ms < self.start.time_ms:
            return False
        return self.end.time_ms is None or timestamp_ms < self.end.time_ms

    @property
    def is_timed(self) -> bool:
        """Whether timestamps have to be looked at."""
        return self.start.time_ms is not None or self.end.time_ms is not None


def make_query(
    topic: str,
    *,
    start: When = None,
    end: When = None,
    keys: Iterable[str | bytes] | str | bytes | None = None,
    columns: Iterable[str] | str | None = None,
    where: Any = None,
    partitions: Iterable[int] | None = None,
    on_error: str = "quarantine",
    slack: timedelta = SLACK,
    prune: bool = True,
) -> Query:
    """A checked query; the arguments are those of `scan`.

    Raises:
        ConfigError: One of them makes no sense.
    """
    now = datetime.now(UTC)
    if on_error not in get_args(OnError):
        raise ConfigError(f"on_error is {on_error!r}.", hint=f"It is one of {', '.join(get_args(OnError))}.")
    if slack < timedelta(0):
        raise ConfigError(f"slack is {slack}; it can't be negative.", hint="Give timedelta(0) for none.")
    first, last = bound(start, now, is_start=True), bound(end, now, is_start=False)
    if first.time_ms is not None and last.time_ms is not None and first.time_ms > last.time_ms:
        raise ConfigError(f"The start {start!r} lies after the end {end!r}.", hint="Exchange them.")
    return Query(
        topic,
        first,
        last,
        None if keys is None else frozenset(map(_bytes, [keys] if isinstance(keys, str | bytes) else keys)),
        None if columns is None else tuple([columns] if isinstance(columns, str) else columns),
        where,
        None if partitions is None else frozenset(partitions),
        on_error,  # type: ignore[arg-type]  # looked at above
        min(slack // timedelta(milliseconds=1), 1 << 62),
        prune,
    )


def _bytes(key: str | bytes) -> bytes:
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise ConfigError(f"A key is text or bytes, found {key!r}.", hint="Give keys as they were published.")
    return key.encode()
