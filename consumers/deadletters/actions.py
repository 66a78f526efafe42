"""What was done about dead letters, as records of the topic `dead.actions`. Computes only.

One record holds what one transaction did to letters of one topic, and lies in the partition of that topic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from tidemill.errors import DecodeError

VERSION = 1


class Kind(Enum):
    """What can be done."""

    REDRIVE = "redrive"
    DISCARD = "discard"


class Done(NamedTuple):
    """What was done to one letter."""

    partition: int
    """Of the letter, in the dead letters' topic."""
    offset: int
    written_ms: int
    """The letter's timestamp, by which it is told from one of a topic that was made anew."""
    to_partition: int = -1
    """Where the event lies now; -1 where it was not put back."""
    to_offset: int = -1


@dataclass(frozen=True)
class Action:
    """What one transaction did."""

    kind: Kind
    run: str
    """The same for all transactions of one command."""
    by: str
    """Who: user@host, or what they gave."""
    at_ms: int
    topic: str
    """Of the dead letters, without the namespace."""
    why: str = ""
    to_topic: str = ""
    """Where events were put back to, without the namespace."""
    to_topic_id: str = ""
    """That topic's id (KIP-516)."""
    edit: str = ""
    """The patch that payloads were changed by, as JSON."""
    letters: tuple[Done, ...] = field(default_factory=tuple)

    def record(self) -> bytes:
        """The value of its record."""
        data = {
            "version": VERSION,
            "action": self.kind.value,
            "run": self.run,
            "by": self.by,
            "at_ms": self.at_ms,
            "topic": self.topic,
            "why": self.why,
            "to_topic": self.to_topic,
            "to_topic_id": self.to_topic_id,
            "edit": self.edit,
            "letters": [list(done) for done in self.letters],
        }
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def read_action(value: bytes | None) -> Action:
    """The action of a record's value.

    Raises:
        DecodeError: It is none.
    """
    try:
        data: dict[str, Any] = json.loads(value or b"")
        return Action(
            kind=Kind(data["action"]),
            run=str(data["run"]),
            by=str(data["by"]),
            at_ms=int(data["at_ms"]),
            topic=str(data["topic"]),
            why=str(data.get("why", "")),
            to_topic=str(data.get("to_topic", "")),
            to_topic_id=str(data.get("to_topic_id", "")),
            edit=str(data.get("edit", "")),
            letters=tuple(Done(*map(int, each)) for each in data["letters"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DecodeError(f"It is no record of an action on dead letters: {(value or b'')[:80]!r}.") from error
