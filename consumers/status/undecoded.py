"""Tells of messages of which only the envelope could be read: once in a while, not each time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from consumers.status.evidence import Batch

EVERY_SECONDS = 60.0


class Undecoded:
    """Counts them, and logs the counts."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        """By topic, since the start."""
        self._told_at: dict[str, float] = {}

    def count(self, batch: Batch) -> None:
        """Add those of a batch."""
        now = time.monotonic()
        for topic, number in batch.undecoded.items():
            self.total[topic] += number
            if now - self._told_at.get(topic, -EVERY_SECONDS) < EVERY_SECONDS:
                continue
            self._told_at[topic] = now
            get_logger("tracker").warning(
                "messages can't be decoded, only their envelope counts",
                topic=topic,
                since_start=self.total[topic],
                last=batch.reasons[topic],
            )
