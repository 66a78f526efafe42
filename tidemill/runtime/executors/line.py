"""A handler's process has one line to its worker: an answer for each request, and before it any number of reports.

Reports come from any thread of the handler, so one message is written at a time.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tidemill.runtime.progress import ProgressReport

REPORT = b"report "
"""What a report begins with; an answer is a pickle, which begins with another byte (PROTO, 0x80)."""


class Line:
    """The process's end.

    Args:
        connection: To the worker.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._work: object = None

    def receive(self) -> bytes:
        """The next request; raises EOFError or ConnectionError where the worker is done with this process."""
        return self._connection.recv_bytes()

    def answer(self, answer: bytes) -> None:
        """Answer the request; what a thread that its handler left behind still reports is not heard any more."""
        with self._lock:
            self._work = None
            self._connection.send_bytes(answer)

    def listen_to(self, work: object) -> None:
        """Hear the handler that is given this Work."""
        self._work = work

    def take(self, work: object, report: ProgressReport) -> None:
        """As `Listener.take`."""
        # A worker that isn't there any more takes this process with it.
        with self._lock, contextlib.suppress(OSError):
            if work is self._work:
                self._connection.send_bytes(REPORT + pickle.dumps(report))

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """As `Listener.later`."""
        timer = threading.Timer(seconds, function)
        timer.daemon = True
        timer.start()
