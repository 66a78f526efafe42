"""What a replay has read and what became of it; the counts add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tidemill.errors import DecodeError
from tidemill.replay.ranges import Gap

MOST_KEPT = 10_000
MOST_KEPT_BYTES = 64_000_000
"""How much garbage is kept in memory with its bytes; beyond either it is only counted."""


@dataclass(frozen=True)
class Quarantined:
    """An event that can't be read, put aside."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Milliseconds since 1970."""
    reason: str
    key: bytes | None
    value: bytes

    def error(self) -> DecodeError:
        """The error that it would have been, with its place."""
        return DecodeError(f"{self.topic}, partition {self.partition}, offset {self.offset}: {self.reason}")


@dataclass
class Tally:
    """Counts of one run: `read` is the sum of the four that follow it."""

    read: int = 0
    events: int = 0
    """Rows that the scan gave."""
    filtered: int = 0
    """Left out by key, time or condition."""
    tombstones: int = 0
    """Without a value: the deletion of a key in a compacted topic."""
    garbage: int = 0
    """Couldn't be read; quarantined or skipped."""
    read_bytes: int = 0
    gaps: list[Gap] = field(default_factory=list)
    """Offsets that were asked for and that retention has taken."""
    quarantined: list[Quarantined] = field(default_factory=list)
    """The first of the garbage, up to 10,000 and 64 MB of it, unless it is skipped."""
    _kept_bytes: int = 0

    def add(self, other: Tally) -> None:
        """Add what a further part of the run has found."""
        self.read += other.read
        self.events += other.events
        self.filtered += other.filtered
        self.tombstones += other.tombstones
        self.garbage += other.garbage
        self.read_bytes += other.read_bytes
        self.keep(other.quarantined)

    def keep(self, garbage: Iterable[Quarantined]) -> None:
        """Keep garbage, as far as there is room."""
        for each in garbage:
            size_bytes = len(each.value) + len(each.key or b"")
            if len(self.quarantined) >= MOST_KEPT or self._kept_bytes + size_bytes > MOST_KEPT_BYTES:
                return
            self._kept_bytes += size_bytes
            self.quarantined.append(each)
