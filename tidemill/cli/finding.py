"""What a check of `tidemill doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    name: str
    ok: bool | None
    """None where it could not be checked because of another finding, or there is nothing to check."""
    found: str
    """A sentence without its point."""
    next_step: str | None = None
