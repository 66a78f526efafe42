"""What a keeper does for the partition it owns: the interface between owning and emitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.transactions import Refused, Writer


class Deed(Protocol):
    """What is to be written in one transaction."""

    def write(self, writer: Writer) -> None:
        """Write it all; where this raises, nothing of it is ever read."""
        ...

    def written(self) -> None:
        """It is committed: from now on it counts."""
        ...

    def refused(self, refused: Refused) -> None:
        """Nothing of it was written, since the brokers will never take some of it: the duty goes on without that.

        Where it can't, it raises.
        """
        ...


class Duty(Protocol):
    """The state of one partition, and what follows from it. Everything is called from the keeper's thread."""

    def take(self, message: Message) -> None:
        """Learn from one record of the partition's log; records come in the order of their offsets."""
        ...

    def loaded(self) -> None:
        """All that was in the log when the partition was taken over has been taken."""
        ...

    def next_at(self) -> float | None:
        """When there is something to do again: seconds since 1970; None while there is nothing."""
        ...

    def due(self, now: float) -> Deed | None:
        """What is to be done now; None where that is nothing.

        Args:
            now: Seconds since 1970.
        """
        ...

    def close(self) -> None:
        """The partition isn't this instance's any more."""
        ...
