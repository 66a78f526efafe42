"""The supervisor: starts worker processes, passes signals on, and replaces those that end when nobody told them to.

It runs no handler and imports nothing that could fail or grow, so that it outlives what it watches: standard library
only. Its program is `supervise`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidemill.runtime.orders import Orders
from tidemill.runtime.recorder import Suspect, make_recorder, read_recorder, suspected

REFUSED = frozenset({69, 78})
"""Exit statuses of a process that can't run where it is (`worker.EXIT_UNAVAILABLE`, `worker.EXIT_REFUSED`)."""
RECYCLE = 75
STEADY_SECONDS = 10.0
"""A process that lived so long was no failed start: the next one is started again soon."""
FIRST_RESTART_SECONDS = 0.5
MOST_RESTART_SECONDS = 30.0
POLL_SECONDS = 0.1
SUSPECT_SECONDS = 600.0
"""How long after the last death events stay suspects; a pill is delivered again at once, not after an hour."""
TOLD_BY = frozenset({signal.SIGTERM, signal.SIGINT})
"""Signals that tell it to stop."""
MOST_SUSPECTS = 1000
"""They go to the process on its command line."""


@dataclass
class Child:
    """One worker process and its place."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    delay: float = FIRST_RESTART_SECONDS
    ready: int | None = None
    """Pipe that brings a byte once it consumes; None after that, or after its other end was closed."""
    told: int = 0
    """How often it was told to stop."""
    recorder: int = -1
    """Descriptor of its flight recorder."""


class Supervisor:
    """Keeps worker processes running.

    Args:
        orders: What each of them does.
        processes: How many.
        say: Called with the level of the log (`warning`, `error`) and a line about each end that nobody asked for.
    """

    def __init__(self, orders: Orders, processes: int, say: Callable[[str, str], None]) -> None:
        self._orders = replace(orders, supervisor_pid=os.getpid())
        self._children = [Child(number) for number in range(processes)]
        self._say = say
        self._signals = 0
        self._kill_at = float("inf")
        self._suspects: list[Suspect] = []
        self._last_death = 0.0
        self._was_up = False
        """Has any process consumed already? From then on every end is a reason to start another."""

    def run(self) -> int:
        """Run until told to stop; returns the exit status: 0, or that of a process that ended badly."""
        for signum in TOLD_BY:
            signal.signal(signum, self._on_signal)
        # They are held back until now where this program took the place of another (`supervise`).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_BY)
        status = 0
        while True:
            now = time.monotonic()
            for child in self._children:
                if child.process is None:
                    if not self._signals and now >= child.restart_at:
                        self._start(child)
                    continue
                code = child.process.poll()
                self._look_whether_ready(child)
                if code is None:
                    continue
                child.process = None
                status = self._ended(child, code, now) or status
            if self._signals and all(child.process is None for child in self._children):
                return status
            self._tell(now)
            time.sleep(POLL_SECONDS)

    def _start(self, child: Child) -> None:
        child.ready, descriptor = os.pipe()
        os.set_blocking(child.ready, False)
        child.recorder = make_recorder()
        if time.monotonic() > self._last_death + SUSPECT_SECONDS:
            self._suspects = []
        orders = replace(
            self._orders,
            ready_descriptor=descriptor,
            recorder_descriptor=child.recorder,
            suspects=self._suspects,
        )
        try:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "tidemill.runtime.process", orders.to_argument()],
                pass_fds=(descriptor, child.recorder),
                # Its own group: Ctrl-C reaches the supervisor alone, which passes it on once.
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        child.started = time.monotonic()
        child.told = 0

    def _look_whether_ready(self, child: Child) -> None:
        if child.ready is None:
            return
        try:
            said = os.read(child.ready, 1)
        except BlockingIOError:
            return
        self._was_up = self._was_up or bool(said)
        os.close(child.ready)
        child.ready = None

    def _ended(self, child: Child, code: int, now: float) -> int:
        """Decide what follows the end of a process; returns the status that the supervisor should end with."""
        in_work = read_recorder(child.recorder)
        os.close(child.recorder)
        if self._signals:
            # One that a signal of ours reached before its first line of Python had nothing to finish.
            fine = code in (0, RECYCLE, -signal.SIGTERM)
            return 0 if fine else code if code > 0 else 128 - code
        if code in REFUSED and not self._was_up:
            self._stop_all()
            return code
        if in_work:
            self._last_death = now
            self._suspects = suspected(self._suspects, in_work)[:MOST_SUSPECTS]
        if now - child.started > STEADY_SECONDS or code == RECYCLE:
            child.delay = FIRST_RESTART_SECONDS
        wait = 0.0 if code == RECYCLE else child.delay
        child.restart_at = now + wait
        child.delay = min(child.delay * 2, MOST_RESTART_SECONDS)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        level = "warning" if code in (0, RECYCLE) else "error"
        self._say(
            level, f"worker process {child.number} {how}; starting it again" + (f" in {wait:g} s" if wait else "")
        )
        return 0

    def _on_signal(self, signum: int, _: object) -> None:
        self._stop_all()

    def _stop_all(self) -> None:
        self._signals += 1
        if self._signals == 1:
            # A little more than a process gives itself: it ends hard by itself first.
            self._kill_at = time.monotonic() + self._orders.drain_seconds + 5

    def _tell(self, now: float) -> None:
        """Pass on to each process what it wasn't told yet."""
        for child in self._children:
            if child.process is None:
                continue
            if now > self._kill_at:
                child.process.kill()
            while child.told < self._signals:
                child.told += 1
                # Two of one kind in quick succession would reach it as one.
                child.process.send_signal(signal.SIGTERM if child.told == 1 else signal.SIGINT)
