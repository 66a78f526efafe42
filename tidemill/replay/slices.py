"""A slice: some thousand messages as columns, as they came. Computes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tidemill.codec import PREFIX_BYTES

if TYPE_CHECKING:
    from confluent_kafka import Message


def prefixes_of(values: Sequence[bytes | None]) -> list[bytes]:
    """The first bytes of values; of a missing one, none."""
    try:
        return [value[:PREFIX_BYTES] for value in values]  # type: ignore[index]  # faster than to ask each
    except TypeError:
        return [b"" if value is None else value[:PREFIX_BYTES] for value in values]


@dataclass
class Slice:
    """Messages of one topic; of each partition in order."""

    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    """Milliseconds since 1970."""
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """As they came, where somebody needs their headers; else empty."""
    size_bytes: int = 0
    """Of the keys and values that were read for it."""
    read: int = 0
    """How many were read for it, whether or not they were kept."""
    next_offsets: dict[int, int] = field(default_factory=dict)
    """Where reading would go on after this slice, for the partitions that have moved."""

    @cached_property
    def prefixes(self) -> list[bytes]:
        """The first bytes of each value, which name its schema; ask for them when no more is added."""
        return prefixes_of(self.values)

    def __len__(self) -> int:
        return len(self.offsets)

    def kept(self, rows: list[int]) -> Slice:
        """Only these rows."""

        def pick(column: list[Any]) -> list[Any]:
            return [column[row] for row in rows]

        return Slice(
            pick(self.partitions),
            pick(self.offsets),
            pick(self.timestamps),
            pick(self.keys),
            pick(self.values),
            pick(self.messages) if self.messages else [],
            self.size_bytes,
            self.read,
            self.next_offsets,
        )
