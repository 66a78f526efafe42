"""What the ledger knows of one effect, and how its parts are written so that any database takes them. Computes only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

Policy = Literal["again", "hold"]
"""What follows where nobody knows whether an effect has happened: do it again, or hold it for a person."""
State = Literal["started", "done", "failed", "unknown"]
"""`started`: somebody is at it, or was when it died. `done`: it happened. `failed`: it didn't, by its own word.
`unknown`: it may have happened, and a person or the next try decides."""
Ending = State | Literal["released"]
"""`released`: a claim that may not have been granted, and whose effect was not begun."""

STATES: tuple[State, ...] = ("started", "done", "failed", "unknown")
MOST_BYTES = 400
"""Of each part of an effect's name; three of them must fit into one entry of a Postgres index (2,704 bytes)."""
MOST_NOTE_CHARACTERS = 2000


class EffectName(NamedTuple):
    """What tells an effect from all others, each part as `stored` writes it."""

    event_id: str
    scope: str
    """The stream's consumer group, with its namespace."""
    key: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One effect as the ledger has it."""

    name: EffectName
    state: State
    policy: Policy
    attempt: int
    """How often it was begun."""
    owner: str
    """Token of the process that has begun it last."""
    owner_name: str
    """The same for people: host and process number."""
    result: str | None
    """What it returned, as JSON; None where it has not, or where that can't be kept."""
    note: str | None
    """Why it failed, why nobody knows, or who has decided."""
    started_ms: int
    """When it was begun last, by the database's clock; milliseconds since 1970."""
    finished_ms: int | None
    owner_beats: int | None
    """The owner's pulse; None where the ledger doesn't know this owner any more."""


def stored(text: str) -> str:
    """A text as every database and terminal takes it; two texts that differ are never written alike.

    What can't be printed is escaped (Postgres takes no NUL, UTF-8 no lone surrogate), and what is long is cut and ends
    with a digest of the whole.
    """
    if not text.isprintable() or "\\" in text:
        text = "".join(
            char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
        )
    encoded = text.encode()
    if len(encoded) <= MOST_BYTES:
        return text
    # A lone backslash before a tilde comes out of no escaping, so that no short text is taken for a long one.
    digest = hashlib.sha256(encoded).hexdigest()[:32]
    return encoded[: MOST_BYTES - 40].decode(errors="ignore") + "\\~" + digest


def brief_note(text: str) -> str:
    """A reason as the ledger keeps it: any text, in bounds."""
    shown = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return shown if len(shown) <= MOST_NOTE_CHARACTERS else shown[: MOST_NOTE_CHARACTERS - 3] + "..."
