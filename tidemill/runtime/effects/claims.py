"""What is asked of a ledger while effects are done, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.runtime.effects.entry import EffectName, Ending, Entry, Policy


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to do an effect."""

    name: EffectName
    policy: Policy
    number: int
    """Tells this claim from all others of its owner."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claimed effect has ended."""

    name: EffectName
    number: int
    """Of its claim."""
    state: Ending
    result: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """The intent is written: the effect is to be done now."""

    attempt: int
    before: Entry | None
    """What the ledger had, where the effect was begun before."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """It has happened already."""

    result: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody is at it."""

    owner_name: str


@dataclass(frozen=True, slots=True)
class Held:
    """It may have happened, and that is for a person to say."""

    entry: Entry


Answer = Begun | Recorded | Busy | Held
