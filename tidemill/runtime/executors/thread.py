"""Handlers in threads. A thread can't be killed: at the time limit it gets an exception, which Python code sees at once
and a blocking call in C only when it returns. One that doesn't stop is reported as stuck, and the worker process is
replaced as soon as its other work is done, so that nothing lingers.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tidemill.errors import HandlerTimeout
from tidemill.runtime.executors.fault import StuckHandler

STOP_GRACE_SECONDS = 5.0
"""How long a thread may take to stop after its time limit."""


class _Interrupt(BaseException):
    """Raised inside a handler's thread at its time limit."""


class _Call:
    """One call in a thread, and the way to interrupt it safely.

    The exception is set asynchronously, so it can also come up just after the handler has returned. It is therefore set
    only under the lock and only while `thread` is known, and `run` doesn't return before it has come up.
    """

    __slots__ = ("_function", "_interrupted", "_lock", "_thread")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._interrupted = False

    def run(self) -> Any:
        with self._lock:
            if self._interrupted:
                return None  # It was given up before a thread was free; nobody waits for it.
            self._thread = threading.get_ident()
        try:
            try:
                return self._function()
            finally:
                self._end()
        except _Interrupt:
            self._end()
            return None  # Whoever has interrupted it knows.

    def _end(self) -> None:
        with self._lock:
            self._thread = None
            interrupted, self._interrupted = self._interrupted, False
        if interrupted:
            try:
                # An exception that was set comes up within a few bytecodes: take it here, not in the pool's own code.
                for _ in range(1000):
                    threading.get_ident()
            except _Interrupt:
                return

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Interrupt))


class ThreadExecutor:
    """A pool of threads for one stream.

    Args:
        threads: Calls at once.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tidemill-handler")

    async def run(self, function: Callable[[], Any], timeout_seconds: float | None) -> Any:
        """Run a call.

        Raises:
            HandlerTimeout: It ran too long and was stopped.
            StuckHandler: It ran too long, or was to be given up, and didn't stop; its thread lives on.
            Exception: Whatever the call raised.
        """
        call = _Call(function)
        future = asyncio.get_running_loop().run_in_executor(self._pool, call.run)
        try:
            done, _ = await asyncio.wait((future,), timeout=timeout_seconds)
        except asyncio.CancelledError:
            # Given up. The caller waits for the thread all the same: without one, its next call couldn't start.
            await self._stop(call, future, "The handler was to be given up")
            raise
        if done:
            return future.result()
        too_long = f"The handler ran longer than {timeout_seconds:g} s"
        await self._stop(call, future, too_long)
        # It may have come to its end while it was being stopped: late all the same, and what it raised is the trace.
        raise HandlerTimeout(f"{too_long} and was stopped.") from future.exception()

    @staticmethod
    async def _stop(call: _Call, future: asyncio.Future[Any], why: str) -> None:
        call.interrupt()
        try:
            done, _ = await asyncio.wait((future,), timeout=STOP_GRACE_SECONDS)
        except asyncio.CancelledError:
            future.add_done_callback(_look_away)
            raise
        future.add_done_callback(_look_away)
        if not done:
            raise StuckHandler(
                f"{why}, and its thread did not stop within {STOP_GRACE_SECONDS:g} s.",
                hint="Give its blocking calls time limits of their own, or use executor='process'.",
            )

    def stop(self) -> None:
        """Take no more calls; those that run are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_away(future: asyncio.Future[Any]) -> None:
    """Retrieve what nobody waits for any more, so that asyncio doesn't complain of it."""
    if not future.cancelled():
        future.exception()
