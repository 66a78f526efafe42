"""Faults found in contracts, gathered so that a person sees all of them at once instead of one per run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidemill.errors import ContractError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a contract."""

    origin: str
    """File, or another name for where the contract comes from."""
    found: str
    """What was found and what was expected: a sentence."""
    hint: str | None = None
    """What to do about it: a sentence."""

    def __str__(self) -> str:
        return f"{self.origin}: {self.found}"


def raise_faults(faults: Sequence[Fault], *, subject: str) -> None:
    """Raise one ContractError that names every fault, or do nothing if there is none.

    Args:
        faults: What was found.
        subject: What they were found in, e.g. the folder; named when there are several.
    """
    if not faults:
        return
    if len(faults) == 1:
        raise ContractError(str(faults[0]), hint=faults[0].hint)
    lines = [f"  - {fault}{' ' + fault.hint if fault.hint else ''}" for fault in faults]
    raise ContractError("\n".join([f"{len(faults)} faults in {subject}:", *lines]))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`Did you mean 'x'?` if one of the known words is close to it; else None."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"Did you mean {close[0]!r}?" if close else None
