"""Ctrl-C and SIGTERM between two steps instead of within one, so that what was written and what is noted agree."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether somebody wants an end.

    While `waiting`, a signal ends the wait by KeyboardInterrupt; otherwise it is only noted, and the second one raises.
    """

    def __init__(self) -> None:
        self.asked = False
        self.waiting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if self.waiting or again:
            raise KeyboardInterrupt


@contextmanager
def between_steps() -> Iterator[Interrupt]:
    """Take the signals for the time of the block; outside of the main thread they stay with whoever has them."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
