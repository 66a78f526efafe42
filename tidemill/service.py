"""What programs of ours do that run until told to stop: worker, scheduler, gateway, relay, tracker, archiver.

Only for a program's own main function: signals and the garbage collector belong to the whole process.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable

COLLECT_AFTER = (50_000, 10, 10)
"""Thresholds of the garbage collector's generations, in objects and in collections of the generation before."""


def until_told(stop: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C call this instead of ending the process."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop())


def collect_seldom() -> None:
    """Leave what is there by now out of all collections, and collect seldom; call it when everything is loaded.

    The events in hand are many objects that live for a moment and are in no cycle. By default CPython (3.11) goes
    through them after each 700 new ones, which took a quarter of the time of a stream of batches.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
