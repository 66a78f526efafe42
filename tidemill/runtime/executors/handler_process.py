"""One process that runs handlers, as its worker sees it: started, asked, killed. Every method may block.

It has a session of its own, so that a kill takes along what the handler started, and Ctrl-C doesn't reach it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from tidemill.runtime.executors.child import Setup
from tidemill.runtime.executors.fault import ExecutorFault
from tidemill.runtime.executors.line import REPORT

if TYPE_CHECKING:
    from tidemill.runtime.progress import ProgressReport

START_SECONDS = 60.0
"""How long a process may take to import its handler."""
GLANCE_SECONDS = 1.0
"""How often a process that doesn't answer is looked at: one that dies closes its socket, unless a process that it
forked keeps it open."""
EXIT_SECONDS = 5.0


class Died(Exception):
    """The process ended; says how."""


class HandlerProcess:
    """A process that has imported a handler, or is about to.

    Args:
        reference: The handler, as module:name.
        memory_bytes: Most memory it may take (data segment); None for no limit.

    Raises:
        ExecutorFault: The system doesn't start another process.
    """

    def __init__(self, reference: str, memory_bytes: int | None) -> None:
        self._reference = reference
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tidemill.runtime.executors.child_main", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise ExecutorFault(f"A process for {reference} can't be started: {error}.", retriable=True) from error
        self._connection: Connection[Any, Any] = Connection(ours.detach())
        self._setup = Setup(reference, memory_bytes, list(sys.path), os.getpid())

    def wait_until_ready(self) -> None:
        """Wait until it has imported the handler.

        Raises:
            ExecutorFault: It can't.
        """
        try:
            reason: str | None = pickle.loads(self.ask(pickle.dumps(self._setup), START_SECONDS))
        except TimeoutError:
            reason = f"it took longer than {START_SECONDS:g} s"
        except Died as died:
            reason = str(died)
        if reason is not None:
            raise ExecutorFault(
                f"A process for {self._reference} can't get ready: {reason}.",
                hint="It imports the handler's module afresh, in the worker's environment and folder.",
            )

    def ask(
        self, request: bytes, timeout_seconds: float | None, hear: Callable[[ProgressReport], None] | None = None
    ) -> bytes:
        """Send a request and wait for the answer.

        Args:
            request: What to do.
            timeout_seconds: Time for it, whatever the process says meanwhile; None for no limit.
            hear: Called with each report of progress that comes before the answer.

        Raises:
            TimeoutError: It didn't come in time; the process still runs.
            Died: The process ended.
        """
        deadline = float("inf") if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            self._connection.send_bytes(request)
            while True:
                if self._connection.poll(max(0.0, min(GLANCE_SECONDS, deadline - time.monotonic()))):
                    said = self._connection.recv_bytes()
                    if not said.startswith(REPORT):
                        return said
                    if hear is not None:
                        hear(pickle.loads(said[len(REPORT) :]))
                elif self._process.poll() is not None and not self._connection.poll(0):
                    raise Died(self._how_it_ended())
                if time.monotonic() >= deadline:
                    raise TimeoutError
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise Died(self._how_it_ended()) from error

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it and all that it started, at once and without waiting. Calling it again does nothing."""
        # Its number isn't given to another process before this one is waited for.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def release(self) -> None:
        """Kill it, wait for its end, and close the socket; only once nobody waits for an answer any more."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        self._connection.close()

    def _how_it_ended(self) -> str:
        # A process that ends by itself keeps its exit status; what it has started ends with it.
        self.kill()
        try:
            code = self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
