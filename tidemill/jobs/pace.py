"""How often somebody who waits looks again: soon at first, and ever more seldom as long as nothing changes."""

from __future__ import annotations

import time

FIRST_SECONDS = 0.02
MOST_SECONDS = 1.0
GROWTH = 1.5


class Pace:
    """Pauses between looks, up to a deadline.

    Args:
        timeout_seconds: From now; None for no deadline.
    """

    def __init__(self, timeout_seconds: float | None) -> None:
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._pause_seconds = FIRST_SECONDS

    def changed(self) -> None:
        """Something has changed: look again soon."""
        self._pause_seconds = FIRST_SECONDS

    def pause(self) -> float | None:
        """How long to wait before the next look, in seconds; None once the deadline has passed."""
        pause, self._pause_seconds = self._pause_seconds, min(MOST_SECONDS, self._pause_seconds * GROWTH)
        if self._deadline is None:
            return pause
        left = self._deadline - time.monotonic()
        return None if left <= 0 else min(pause, left)
