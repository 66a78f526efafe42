"""Calling a stream's handler: one way per executor, chosen once, so that the hot path asks nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.event import Event
from tidemill.runtime.effects.ledger import DatabaseLedger
from tidemill.runtime.effects.stream_effects import StreamEffects
from tidemill.runtime.executors import ProcessExecutor, ThreadExecutor
from tidemill.runtime.work import Work

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.progress import Listener, ProgressReport
    from tidemill.runtime.stream import Stream

EFFECTS_CLOSE_SECONDS = 1.0
"""Time for what is still to be written to the ledger at the end of a stream."""

Call = Callable[[list[Event[Any]], Work | None], Awaitable[Any]]


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class Invoke:
    """Calls the handler of a stream on its events.

    Args:
        stream: What to call, and where.
        settings: Given to the handler's `Work`.
        concurrency: Calls at once.

    Raises:
        StreamError: The handler can't run where it is to run.
    """

    def __init__(self, stream: Stream, settings: Settings, concurrency: int) -> None:
        self._stream = stream
        self._settings = settings
        self.listener: Listener | None = None
        """Who gets what handlers say with `Work.progress`."""
        self._pool: _Stoppable | None = None
        # A process makes its outputs there; its Work always goes along.
        self.wants_work = stream.takes_work or stream.executor == "process"
        # Opens nothing before it is asked for an effect. Processes have their own.
        self._effects = (
            StreamEffects(settings.qualified(stream.group), stream.executor, DatabaseLedger(settings))
            if stream.takes_work and stream.executor != "process"
            else None
        )
        self._call = self._choose(concurrency)

    def work(self, attempt: int) -> Work:
        """The Work of one try."""
        return Work(self._stream.name, attempt, self._stream.timeout, self._settings)

    def __call__(self, events: list[Event[Any]], work: Work | None) -> Awaitable[Any]:
        if work is not None and self._effects is not None:
            work.provide(self._effects, events[0] if self._stream.batch is None else None, self.listener)
        return self._call(events, work)

    def _choose(self, concurrency: int) -> Call:
        stream, handler = self._stream, self._stream.handler
        arguments = _arguments(stream)
        if stream.executor == "async":
            if stream.takes_work:
                return lambda events, work: handler(arguments(events), work)
            return lambda events, work: handler(arguments(events))
        if stream.executor == "process":
            processes = ProcessExecutor(stream, concurrency)
            self._pool = processes

            def in_process(events: list[Event[Any]], work: Work | None) -> Awaitable[Any]:
                assert work is not None
                return processes.run(arguments(events), work, self._hear)

            return in_process
        if stream.executor == "thread":
            threads = ThreadExecutor(concurrency)
            self._pool = threads
            if stream.takes_work:
                return lambda events, work: threads.run(
                    lambda: _finish(handler(arguments(events), work)), stream.timeout
                )
            return lambda events, work: threads.run(lambda: _finish(handler(arguments(events))), stream.timeout)

        if stream.takes_work:

            async def inline_with_work(events: list[Event[Any]], work: Work | None) -> Any:
                return _finish(handler(arguments(events), work))

            return inline_with_work

        async def inline(events: list[Event[Any]], work: Work | None) -> Any:
            return _finish(handler(arguments(events)))

        return inline

    def _hear(self, work: Work, report: ProgressReport) -> None:
        if self.listener is not None:
            self.listener.take(work, report)

    def stop(self) -> None:
        """End the pool, if there is one, and take leave of the ledger of effects."""
        if self._pool is not None:
            self._pool.stop()
        if self._effects is not None:
            self._effects.close(EFFECTS_CLOSE_SECONDS)


def _arguments(stream: Stream) -> Callable[[list[Event[Any]]], Any]:
    if stream.batch is not None:
        return lambda events: events
    return lambda events: events[0]


def _finish(returned: Any) -> Any:
    """A generator runs where its handler runs, not where its outputs are published."""
    return list(returned) if hasattr(returned, "__next__") else returned
