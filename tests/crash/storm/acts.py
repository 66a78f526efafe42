"""What was done in a storm: acts, and the worker processes that they struck. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

How = Literal["kill", "term", "pause"]


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a nemesis.

    Args:
        start_seconds: When it began, as the ledgers' times.
        end_seconds: When all that it broke was healed.
        nemesis: Whose.
        target: What was done to what.
        most_stall_seconds: What is promised meanwhile; None for nothing.
        error: What went wrong with the act itself; empty where nothing did.
    """

    start_seconds: float
    end_seconds: float
    nemesis: str
    target: str
    most_stall_seconds: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Victim:
    """A worker process that was struck.

    Args:
        time_seconds: When, as the ledgers' times.
        worker: Its number.
        how: SIGKILL, SIGTERM or SIGSTOP.
    """

    time_seconds: float
    worker: int
    how: How
