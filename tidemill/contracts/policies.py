"""The words in which a contract says how its topic is kept and which changes it allows."""

from __future__ import annotations

from typing import Literal, TypeAlias

Cleanup: TypeAlias = Literal["delete", "compact", "compact,delete"]
"""Kafka's `cleanup.policy`."""
Compatibility: TypeAlias = Literal[
    "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"
]
"""Confluent's compatibility levels."""

DEAD_SUFFIX = ".dead"
"""What a topic's name gets to become that of its dead letters."""
