"""What the broker's acknowledgement says."""

from __future__ import annotations

from typing import NamedTuple


class Delivered(NamedTuple):
    """Where an acknowledged event lies."""

    topic: str
    partition: int
    offset: int
