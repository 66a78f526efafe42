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

STOP_GRACE_SECONDS = 5.0
"""How long a thread may take to stop after its time limit."""


class StuckHandler(HandlerTimeout):
    """A handler ran past its time limit and could not be stopped; its thread or task lives on."""

    retriable = False


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
            self._thread = threading.get_ident()
        try:
            try:
                return self._function()
            finally:
                self._end()
        except _Interrupt:
            self._end()
            raise TimeoutError from None

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
            if self._thread is not None:
                self._interrupted = True
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
            StuckHandler: It ran too long and didn't stop; its thread lives on.
            Exception: Whatever the call raised.
        """
        call = _Call(function)
        future = asyncio.get_running_loop().run_in_executor(self._pool, call.run)
        try:
            done, _ = await asyncio.wait((future,), timeout=timeout_seconds)
        except asyncio.CancelledError:
            call.interrupt()
            future.add_done_callback(_look_away)
            raise
        if done:
            return self._outcome(future, timeout_seconds)
        call.interrupt()
        done, _ = await asyncio.wait((future,), timeout=STOP_GRACE_SECONDS)
        if done:
            return self._outcome(future, timeout_seconds)
        future.add_done_callback(_look_away)
        raise StuckHandler(
            f"The handler ran longer than {timeout_seconds:g} s, and its thread did not stop within "
            f"{STOP_GRACE_SECONDS:g} s.",
            hint="Give its blocking calls time limits of their own, or use executor='process', which can be killed.",
        )

    @staticmethod
    def _outcome(future: asyncio.Future[Any], timeout_seconds: float | None) -> Any:
        error = future.exception()
        if type(error) is TimeoutError and error.__cause__ is None and not error.args and timeout_seconds is not None:
            raise HandlerTimeout(f"The handler ran longer than {timeout_seconds:g} s and was stopped.")
        return future.result()

    def stop(self) -> None:
        """Take no more calls; those that run are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_away(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
