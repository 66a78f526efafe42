"""What `work.once` needs of a ledger, whichever it is: the one in a database, or the one in memory for tests."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from tidemill.runtime.effects.claims import Answer
from tidemill.runtime.effects.entry import EffectName, Ending, Policy

STOPPED = "It was stopped: its time was over, or its worker was told to end."


class Ticket:
    """The right of one caller in this process to ask for an effect, from `enter` to `leave`.

    Args:
        name: The effect.
        number: Of its claim.
    """

    __slots__ = ("is_answered", "is_uncertain", "name", "number", "settled", "was_begun")

    def __init__(self, name: EffectName, number: int) -> None:
        self.name = name
        self.number = number
        self.is_answered = False
        """Whether the ledger has answered the claim, by which it was granted."""
        self.is_uncertain = False
        """Whether an earlier try may have done it; then this one's failure doesn't say that it hasn't happened."""
        self.was_begun = False
        """Whether the effect itself may have run."""
        self.settled = True
        """Whether the ledger needs no further word: nothing is claimed, or its end is noted."""

    @property
    def state_when_failed(self) -> Ending:
        """What the ledger is told where this try has not done it."""
        return "unknown" if self.is_uncertain else "failed"

    @property
    def state_when_stopped(self) -> Ending:
        """What the ledger is told of a try that was stopped from outside."""
        if self.was_begun:
            return "unknown"
        return self.state_when_failed if self.is_answered else "released"


class Ledger(Protocol):
    """What `work.once` needs of a ledger. No method blocks but `close`."""

    def enter(self, name: EffectName) -> Ticket | None:
        """A ticket for an effect; None while somebody else in this process has it."""

    def claim(self, ticket: Ticket, policy: Policy) -> Future[Answer]:
        """Write the intent, if the effect may be done now."""

    def settle(
        self, ticket: Ticket, state: Ending, *, result: str | None = None, note: str | None = None
    ) -> Future[None]:
        """Write how it has ended. Where the future fails, it is written later, before any claim of the same effect."""

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back; what was claimed and not settled was stopped from outside."""

    def close(self, timeout_seconds: float) -> None:
        """Write what is still to be written, and end; after so long without it."""
