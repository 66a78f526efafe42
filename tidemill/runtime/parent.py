"""A child process that must not outlive its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(signum: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Have the kernel send this process a signal when its parent ends (Linux, prctl(2)); elsewhere this does nothing.

    Args:
        signum: SIGKILL where nothing is to be saved, SIGTERM where the child drains by itself.
        parent: Process number of the parent as it knows it itself: it may have ended before this call.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if os.getppid() != parent:
        # It has ended already: the signal will never come by itself.
        os.kill(os.getpid(), signum)
