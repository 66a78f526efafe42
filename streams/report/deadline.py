"""The time that the queries of one report may take, on the clock that never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from tidemill.errors import HandlerTimeout


class Deadline:
    """So many seconds from now.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """Time left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self._end

    def error(self) -> HandlerTimeout:
        """What is raised once it is over; another try may find the database less busy."""
        return HandlerTimeout(
            f"The report's queries took longer than {self.seconds:g} s.",
            hint="Make them cheaper, or raise `seconds` in [limits] and TIDEMILL_REPORT_MAX_SECONDS.",
        )

    def check(self) -> None:
        """Go on, or not.

        Raises:
            HandlerTimeout: It is over.
        """
        if self.passed:
            raise self.error()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call something from another thread when it is over, unless the block has ended."""
        timer = Timer(self.remaining_seconds, interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
