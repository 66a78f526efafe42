"""Handlers in processes: spawned, killed at the time limit or when their memory limit is reached, and renewed.

A process imports the handler by name (module and function), so that it runs the same code as the worker; what goes in
and out is pickled. A process that dies takes only its own event with it.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import pickle
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from tidemill.errors import HandlerDied, HandlerTimeout, StreamError
from tidemill.runtime.parent import die_with_parent
from tidemill.runtime.work import Output, Work, as_outputs

if TYPE_CHECKING:
    from tidemill.runtime.stream import Stream


@dataclass(slots=True)
class _Done:
    outputs: list[Output]


@dataclass(slots=True)
class _Raised:
    # Returned rather than raised: the pool's own time-out and death must not be confused with a handler's TimeoutError.
    error: Exception
    trace: str


class RemoteTrace(Exception):
    """Stands in a chain of causes for the traceback of another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class ProcessExecutor:
    """A pool of processes for one stream; processes start with the first event.

    Args:
        stream: The stream; its handler must be importable by name.
        processes: Calls at once.

    Raises:
        StreamError: The handler can't be found by its name in a fresh process.
    """

    def __init__(self, stream: Stream, processes: int) -> None:
        check_importable(stream)
        self._stream = stream
        self._pool = ProcessPool(
            max_workers=processes,
            context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(stream.reference, stream.memory_bytes, list(sys.path)),
        )

    async def run(self, events: Any, work: Work) -> list[Output]:
        """Run the handler on its event, or its list of events.

        Raises:
            HandlerTimeout: It ran too long; its process was killed.
            HandlerDied: Its process ended under it.
            Exception: Whatever the handler raised.
        """
        future = self._pool.schedule(_call, args=(self._stream.reference, events, work), timeout=self._stream.timeout)
        try:
            result: _Done | _Raised = await asyncio.wrap_future(future)
        except TimeoutError:
            raise HandlerTimeout(
                f"The handler ran longer than {self._stream.timeout:g} s; its process was killed."
            ) from None
        except ProcessExpired as error:
            raise HandlerDied(
                f"The process that ran the handler ended under it ({_exit_reason(error.exitcode)}).",
                hint="Look for a crash in native code, or for memory_bytes or the container's memory limit.",
            ) from None
        if isinstance(result, _Raised):
            raise result.error from RemoteTrace(result.trace)
        return result.outputs

    def stop(self) -> None:
        """Kill what runs and end all processes."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble 5.2
        self._pool.join(5)


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
    found = _resolve(stream.reference)
    if getattr(found, "handler", None) is not stream.handler:
        raise StreamError(
            f"{stream.reference} can't run with executor='process': that name leads to {found!r}, not to this stream.",
            hint=fix,
        )


def _resolve(reference: str) -> Any:
    module, _, qualname = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StreamError(f"{reference} can't be imported in a process of its own: {error}.") from error
    return found


def _prepare(reference: str, memory_bytes: int | None, path: list[str]) -> None:
    """Set up a fresh process: limits, signals, and the import that each call would otherwise wait for."""
    die_with_parent()
    # Ctrl-C reaches the whole process group; the worker decides what is still to be finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_bytes is not None and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    sys.path[:] = path
    _resolve(reference)


def _call(reference: str, events: Any, work: Work) -> _Done | _Raised:
    stream = _resolve(reference)
    try:
        returned = stream.handler(events, work) if stream.takes_work else stream.handler(events)
        return _Done(as_outputs(returned, work))
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is told to the worker, trace and all
        return _Raised(_picklable(error), traceback.format_exc())


def _picklable(error: Exception) -> Exception:
    """The exception, or one that says the same where it can't cross the process border."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception's own __reduce__ or __init__ may raise anything
        return RuntimeError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    return error


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit status {code}"
