"""A Kafka message made by hand, for tests of what handles messages without Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SampleMessage:
    """Answers as `confluent_kafka.Message` does."""

    at_offset: int = 0
    with_key: bytes | None = b"key"
    with_value: bytes | None = b"value"
    with_headers: list[tuple[str, Any]] = field(default_factory=list)
    in_partition: int = 0
    in_topic: str = "step.asked"
    timestamp_ms: int = 1_750_000_000_123

    def topic(self) -> str:
        return self.in_topic

    def partition(self) -> int:
        return self.in_partition

    def offset(self) -> int:
        return self.at_offset

    def key(self) -> bytes | None:
        return self.with_key

    def value(self) -> bytes | None:
        return self.with_value

    def headers(self) -> list[tuple[str, Any]] | None:
        # None and not an empty list, as confluent-kafka says it.
        return self.with_headers or None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.timestamp_ms
