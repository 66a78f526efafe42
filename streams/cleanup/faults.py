"""What is wrong in a cleanup.toml: every fault with its line, raised as one error so that a person sees all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.errors import ConfigError


@dataclass(frozen=True)
class PolicyFault:
    """One thing that is wrong in a cleanup.toml."""

    line: int
    """Where it is, counted from 1."""
    policy: str | None
    """Name of the policy; None: it belongs to none, or to one without a name."""
    found: str
    """What was found and what was expected; a sentence without its full stop."""
    hint: str | None = None
    """What to do about it: a sentence."""

    def __str__(self) -> str:
        whose = "" if self.policy is None else f'policy "{self.policy}": '
        return f"{self.line}: {whose}{self.found}."


class PoliciesError(ConfigError):
    """A cleanup.toml can't be taken as it is; nothing of it was.

    Args:
        origin: The file's name.
        faults: What is wrong, at least one thing.
    """

    def __init__(self, origin: str, faults: Sequence[PolicyFault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        if len(self.faults) == 1:
            super().__init__(f"{origin}:{self.faults[0]}", hint=self.faults[0].hint)
            return
        lines = [f"  {origin}:{fault}{f' {fault.hint}' if fault.hint else ''}" for fault in self.faults]
        super().__init__("\n".join([f"{len(self.faults)} faults in {origin}:", *lines]))
