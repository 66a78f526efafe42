"""What a try may do about an effect that the ledger knows already. Computes only; the rules of docs/effects.md."""

from __future__ import annotations

from typing import Literal

from tidemill.runtime.effects.entry import Entry, Policy

Verdict = Literal["return", "do", "wait", "hold"]
"""`return` what the ledger has, `do` the effect, `wait` for who is at it, `hold` it for a person."""


def decide(entry: Entry, policy: Policy, *, owner_is_dead: bool) -> Verdict:
    """What a try may do.

    Args:
        entry: What the ledger has.
        policy: The try's own; it wins over what an earlier one has said.
        owner_is_dead: Whether the process that has begun it is gone; counts where it is `started`.
    """
    if entry.state == "done":
        return "return"
    if entry.state == "failed":
        return "do"
    if entry.state == "started" and not owner_is_dead:
        return "wait"
    return "do" if policy == "again" else "hold"
