"""Handlers in processes: killed at the time limit, with all that they started, and renewed.

A process imports the handler by name (module and function), so that it runs the same code as the worker. What goes in
and out is pickled here and not by the pipe, so that what can't be pickled is the error of one event. A process that
dies takes only its own event with it; one that dies idle takes none.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from tidemill.errors import HandlerDied, HandlerError, HandlerTimeout, StreamError
from tidemill.runtime.error_text import brief
from tidemill.runtime.executors.child import Done, RemoteTrace, resolve
from tidemill.runtime.executors.handler_process import Died, HandlerProcess

if TYPE_CHECKING:
    from tidemill.runtime.progress import ProgressReport
    from tidemill.runtime.stream import Stream
    from tidemill.runtime.work import Output, Work


class ProcessExecutor:
    """A pool of processes for one stream; processes start with the first events.

    Args:
        stream: The stream; its handler must be importable by name.
        processes: Calls at once.

    Raises:
        StreamError: The handler can't be found by its name in a fresh process.
    """

    def __init__(self, stream: Stream, processes: int) -> None:
        check_importable(stream)
        self._stream = stream
        # A thread for each process: it starts it, waits for its answers, and kills it.
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="tidemill-process")
        self._lock = threading.Lock()
        self._idle: list[HandlerProcess] = []
        self._all: set[HandlerProcess] = set()
        self._stopped = False

    async def run(
        self, events: Any, work: Work, hear: Callable[[Work, ProgressReport], None] | None = None
    ) -> list[Output]:
        """Run the handler on its event, or its list of events.

        Args:
            events: What it is given.
            work: Its Work.
            hear: Called, in another thread, with what it says with `Work.progress`.

        Raises:
            HandlerTimeout: It ran too long; its process was killed.
            HandlerDied: Its process ended under it.
            ExecutorFault: A process can't be started.
            Exception: Whatever the handler raised.
        """
        call = _Call(self, pickle.dumps((events, work)), partial(hear, work) if hear is not None else None)
        future = asyncio.get_running_loop().run_in_executor(self._threads, call.run)
        try:
            answer = await future
        except asyncio.CancelledError:
            call.give_up()
            raise
        try:
            result = pickle.loads(answer)
        except Exception as error:
            # It could be unpickled there, but not here.
            raise HandlerError(
                f"What the handler returned or raised can't be read: {brief(error)}.",
                hint="Return events of generated classes; keep open files and the like out of exceptions.",
            ) from error
        if isinstance(result, Done):
            return result.outputs
        raise result.error from RemoteTrace(result.trace)

    def take(self) -> HandlerProcess:
        """A process that waits for work, started if there is none; blocks meanwhile. Raises ExecutorFault."""
        while (process := self._idle_one()) is not None:
            if process.is_alive():
                return process
            self.drop(process)
        fresh = HandlerProcess(self._stream.reference, self._stream.memory_bytes)
        try:
            self._keep(fresh)
            fresh.wait_until_ready()
        except BaseException:
            self.drop(fresh)
            raise
        return fresh

    def _idle_one(self) -> HandlerProcess | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, process: HandlerProcess) -> None:
        with self._lock:
            self._all.add(process)
            if self._stopped:
                raise StreamError("The pool of processes was stopped.")

    def give_back(self, process: HandlerProcess) -> None:
        """Keep a process for the next call."""
        with self._lock:
            if not self._stopped:
                self._idle.append(process)
                return
        self.drop(process)

    def drop(self, process: HandlerProcess) -> None:
        """Kill a process and forget it; blocks until it has ended."""
        process.release()
        with self._lock:
            self._all.discard(process)

    @property
    def timeout(self) -> float | None:
        """Seconds for one call."""
        return self._stream.timeout

    def stop(self) -> None:
        """Kill what runs and end all processes."""
        with self._lock:
            self._stopped = True
            busy, idle = self._all - set(self._idle), self._idle[:]
            self._idle.clear()
        for process in busy:
            process.kill()  # The thread that waits for its answer does the rest.
        for process in idle:
            self.drop(process)
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Call:
    """One call, from the thread that waits for it, and the way to give it up from the event loop."""

    __slots__ = ("_given_up", "_hear", "_lock", "_pool", "_process", "_request")

    def __init__(self, pool: ProcessExecutor, request: bytes, hear: Callable[[ProgressReport], None] | None) -> None:
        self._pool = pool
        self._request = request
        self._hear = hear
        self._lock = threading.Lock()
        self._process: HandlerProcess | None = None
        self._given_up = False

    def run(self) -> bytes:
        pool = self._pool
        process = pool.take()
        with self._lock:
            self._process = process
            if self._given_up:
                process.kill()
        try:
            answer = process.ask(self._request, pool.timeout, self._hear)
        except TimeoutError:
            pool.drop(process)
            raise HandlerTimeout(f"The handler ran longer than {pool.timeout:g} s; its process was killed.") from None
        except Died as died:
            pool.drop(process)
            raise HandlerDied(
                f"The process that ran the handler ended under it ({died}).",
                hint="Look for a crash in native code, or for memory_bytes or the container's memory limit.",
            ) from None
        with self._lock:
            # From here on `give_up` must not kill it: it may be in the hands of another call.
            self._process = None
        pool.give_back(process)
        return answer

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._process is not None:
                self._process.kill()


def check_importable(stream: Stream) -> None:
    """Refuse a handler that another process can't import by name.

    Raises:
        StreamError: It is nested in a function, a lambda, or hidden behind another object of that name.
    """
    module, _, qualname = stream.reference.partition(":")
    fix = "Define it at the top level of a module that can be imported."
    if module == "__main__" or "<" in qualname:
        raise StreamError(
            f"{stream.reference} can't run with executor='process': another process can't import it.", hint=fix
        )
    found = resolve(stream.reference)
    if getattr(found, "handler", None) is not stream.handler:
        raise StreamError(
            f"{stream.reference} can't run with executor='process': that name leads to {found!r}, not to this stream.",
            hint=fix,
        )
