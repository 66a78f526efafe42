"""What has become of a dead letter."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Each letter has one."""

    OPEN = "open"
    """Nobody has done anything about it."""
    REDRIVEN = "redriven"
    """Put back; what came of it isn't known yet."""
    RESOLVED = "resolved"
    """Put back, and its stream is through with it without another letter."""
    RETURNED = "returned"
    """Put back, and died again: the later letter stands for it."""
    DISCARDED = "discarded"
    """Somebody has decided that nothing is to be done."""
    EXPIRED = "expired"
    """Its topic's retention has deleted it before anybody did anything."""
    DUPLICATE = "duplicate"
    """Of a death that an earlier letter tells of: the worker was killed before it could commit that one."""
