"""What a process that runs handlers does: reads requests from a socket that it inherited, and answers each.

It ends when the socket's other end is closed. It must never outlive the worker, and no exception of a handler, of
whatever kind, may end it.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tidemill.errors import HandlerError, StreamError
from tidemill.runtime.effects.ledger import DatabaseLedger
from tidemill.runtime.effects.stream_effects import StreamEffects
from tidemill.runtime.error_text import class_of, formatted_trace, text_of
from tidemill.runtime.executors.heap import keep_freed_memory
from tidemill.runtime.executors.line import Line
from tidemill.runtime.parent import die_with_parent
from tidemill.runtime.work import Output, Work, as_outputs


@dataclass(frozen=True)
class Setup:
    """What a fresh process is told first."""

    reference: str
    """The handler, as module:name."""
    memory_bytes: int | None
    path: list[str]
    """The worker's sys.path: what it can import, its processes can."""
    worker_pid: int


@dataclass(slots=True)
class Done:
    """A handler's outputs."""

    outputs: list[Output]


@dataclass(slots=True)
class Raised:
    """What a handler raised, and its traceback, which pickle leaves behind."""

    error: Exception
    trace: str


class RemoteTrace(Exception):
    """Stands in a chain of causes for the traceback of another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Effects:
    """The effects of this process's stream; its ledger is that of the settings which come with each Work."""

    def __init__(self) -> None:
        self._effects: StreamEffects | None = None

    def of(self, stream: Any, work: Work) -> StreamEffects:
        """The same ones for all calls."""
        if self._effects is None:
            scope = work.settings.qualified(stream.group)
            self._effects = StreamEffects(scope, stream.executor, DatabaseLedger(work.settings))
        return self._effects


def resolve(reference: str) -> Any:
    """What a reference like `shop.streams:invoices` leads to.

    Raises:
        StreamError: There is no such module, or nothing of that name in it.
    """
    module, _, qualname = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StreamError(f"{reference} can't be imported in a process of its own: {error}.") from error
    return found


def answer(stream: Any, request: bytes, effects: Effects, line: Line) -> bytes:
    """Run the handler on a pickled request; the pickled answer is a `Done` or a `Raised`, whatever happened."""
    try:
        events, work = pickle.loads(request)
        work.started = time.monotonic()  # What it had to wait for a process doesn't count.
        work.provide(effects.of(stream, work), events if stream.batch is None else None, line)
        line.listen_to(work)
        returned = stream.handler(events, work) if stream.takes_work else stream.handler(events)
        return pickle.dumps(Done(as_outputs(returned, work)))
    except SystemExit as left:
        error: Exception = HandlerError(f"The handler called sys.exit({left.code!r}).", retriable=True)
        return pickle.dumps(Raised(error, formatted_trace(left)))
    except BaseException as raised:  # noqa: BLE001 - whatever a handler raises is told to the worker, trace and all
        return pickle.dumps(Raised(_portable(raised), formatted_trace(raised)))


def _portable(error: BaseException) -> Exception:
    """The exception, or one that says the same where it can't cross the process border."""
    # An exception's own __reduce__ or __init__ may raise anything.
    with contextlib.suppress(BaseException):
        if isinstance(error, Exception) and isinstance(pickle.loads(pickle.dumps(error)), type(error)):
            return error
    return RuntimeError(f"{class_of(error)}: {text_of(error)}")


def _prepare(setup: Setup) -> Any:
    """Limits, signals, and the import that each call would otherwise wait for; returns the stream."""
    die_with_parent(parent=setup.worker_pid)
    # The worker decides what is still to be finished, also when a signal reaches all processes of a service. A handler
    # that does nothing, unlike SIG_IGN, is not inherited by programs that a stream's handler starts.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: None)
    if setup.memory_bytes is not None and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (setup.memory_bytes, setup.memory_bytes))
    keep_freed_memory()
    sys.path[:] = setup.path
    return resolve(setup.reference)


def main(descriptor: int) -> None:
    """Serve until the worker closes its end."""
    connection: Connection[Any, Any] = Connection(descriptor)
    setup: Setup = pickle.loads(connection.recv_bytes())
    try:
        stream = _prepare(setup)
    except Exception as error:  # noqa: BLE001 - the worker must learn why this process can't serve
        connection.send_bytes(pickle.dumps(f"{class_of(error)}: {text_of(error)}"))
        return
    connection.send_bytes(pickle.dumps(None))
    effects, line = Effects(), Line(connection)
    while True:
        try:
            request = line.receive()
        except (EOFError, ConnectionError):
            return  # The worker is done with this process.
        line.answer(answer(stream, request, effects, line))
