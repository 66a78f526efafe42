"""A worker: one process that runs streams until it is told to stop, or can't go on."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.codec import Codec
from tidemill.contracts.registry import Registry
from tidemill.errors import TidemillError
from tidemill.runtime.cancel_reader import CancelReader
from tidemill.runtime.cancels import Cancels
from tidemill.runtime.checks import check_topics, is_heard
from tidemill.runtime.engine import Engine
from tidemill.runtime.invoke import Invoke
from tidemill.runtime.outputs import Outputs
from tidemill.runtime.recall import Recall
from tidemill.runtime.retry_room import kept_seconds, room_for_retries
from tidemill.runtime.source import Source
from tidemill.runtime.suspicion import Alone, Suspicion
from tidemill.runtime.watch import Watch
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.app import FeedingApp
    from tidemill.runtime.recorder import Recorder, Suspect
    from tidemill.runtime.stream import Stream

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69
"""Kafka or the registry isn't there (EX_UNAVAILABLE of sysexits.h)."""
EXIT_HARD = 70
"""The deadline passed, or a second signal came, before everything was finished."""
END_SECONDS = 0.75
"""What a process takes at most to end, once it has left its groups and flushed its outputs."""
CLOCK_DRAIN_SECONDS = 4.0
"""Time to the end of a process whose clock was set back."""
EXIT_RECYCLE = 75
"""A handler could not be stopped; start this process again."""
EXIT_REFUSED = 78
"""The streams can't run as they are declared or configured (EX_CONFIG)."""


@dataclass
class Running:
    """One stream at work."""

    stream: Stream
    engine: Engine
    outputs: Outputs
    app: FeedingApp
    source: Source
    recall: Recall


class Worker:
    """Runs streams in this process.

    Args:
        streams: What to run.
        settings: Addresses and limits.
        concurrency: Events in work at once per stream, instead of what each declares.
        drain_seconds: Time from the first signal to the end, whatever still runs.
        on_ready: Called once everything has started and events are consumed.
        recorder: Where to note down what is in work; None for nowhere.
        suspects: What was in work when an earlier process died.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        settings: Settings,
        *,
        concurrency: int | None = None,
        drain_seconds: float = 25.0,
        on_ready: Callable[[], None] | None = None,
        recorder: Recorder | None = None,
        suspects: Sequence[Suspect] = (),
    ) -> None:
        self._streams = streams
        self._settings = settings
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._on_ready = on_ready
        self._recorder = recorder
        self._suspects = suspects
        self._registry = Registry(settings)
        self._running: list[Running] = []
        self._cancel_reader: CancelReader | None = None
        self._stop = asyncio.Event()
        self._deadline: threading.Timer | None = None
        self._ends_at = float("inf")
        self._hard_status = EXIT_HARD
        self._has_started = False
        self._engines: list[Engine] = []
        self._log = get_logger("worker")

    async def run(self) -> int:
        """Run until `stop` is called, or until something can't go on.

        Returns:
            The exit status.

        Raises:
            TidemillError: A stream can't start, or its source failed.
        """
        # From the first moment on: a start can hang as well, where the clock is set back meanwhile.
        watch = asyncio.create_task(Watch(self._engines, self._streams, self._clock_set_back).run())
        try:
            await self._start()
            self._has_started = True
            self._log.info("ready", streams=[running.stream.name for running in self._running], pid=os.getpid())
            if self._on_ready is not None:
                self._on_ready()
            return await self._until_told(watch)
        finally:
            # After a drain there is nothing left; else a start has failed, or this coroutine is cancelled.
            await asyncio.gather(*(self._leave(running) for running in self._running), return_exceptions=True)
            watch.cancel()
            if self._cancel_reader is not None:
                await asyncio.to_thread(self._cancel_reader.stop)
            self._registry.close()
            if self._deadline is not None:
                self._deadline.cancel()

    def stop(self) -> None:
        """Drain and end; a second call ends the process hard, as does the deadline."""
        if self._stop.is_set():
            self._log.error("told to stop a second time, ending now")
            self._leave_hard()
        self._deadline = threading.Timer(self._drain_seconds, self._deadline_passed)
        self._deadline.daemon = True
        self._deadline.start()
        self._ends_at = time.monotonic() + self._drain_seconds
        self._stop.set()

    def _deadline_passed(self) -> None:
        self._log.error("not finished in time, ending now", seconds=self._drain_seconds)
        self._leave_hard()

    def _clock_set_back(self) -> None:
        # librdkafka may sleep: a long farewell would only be a long stall. No event is at fault for it, either.
        self._drain_seconds = min(self._drain_seconds, CLOCK_DRAIN_SECONDS)
        self._hard_status = EXIT_RECYCLE
        if not self._has_started:
            self._leave_hard()
        for running in self._running:
            running.engine.wind_up()

    def _leave_hard(self) -> None:
        if self._hard_status == EXIT_RECYCLE and self._recorder is not None:
            self._recorder.clear_all()
        sys.stderr.flush()
        os._exit(self._hard_status)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.run_in_executor(None, check_topics, self._streams, self._settings)
        looked_up = loop.run_in_executor(None, kept_seconds, self._streams, self._settings)
        # Half of all that a worker imports, while the cluster answers.
        from tidemill.runtime.app import FeedingApp

        metadata, kept = await asyncio.gather(checked, looked_up)
        is_told = is_heard(metadata, self._settings)
        rooms = await asyncio.to_thread(room_for_retries, self._streams, self._settings, metadata, kept)
        codec = Codec(self._registry)
        alone = Alone()
        cancels = self._follow_cancels(codec)
        for number, stream in enumerate(self._streams, start=1):
            concurrency = self._concurrency or stream.concurrency
            invoke = Invoke(stream, self._settings, concurrency)
            outputs = Outputs(stream, self._settings, codec, is_heard=is_told)
            recall = Recall(self._settings, stream.group, asyncio.get_running_loop())
            engine = Engine(
                stream,
                codec,
                outputs,
                invoke,
                recorder=self._recorder.of_stream(number) if self._recorder is not None else None,
                suspicion=Suspicion([suspect for suspect in self._suspects if suspect.stream == number]),
                alone=alone,
                waits=rooms[stream.name],
                recall=recall,
                cancels=cancels,
            )
            self._engines.append(engine)
            app = FeedingApp(stream, self._settings, engine.feed)
            # From here on it is stopped in good order, should its or another's start fail.
            source = Source(engine, app, self._settings, retry_topic=rooms[stream.name].retry_topic)
            self._running.append(Running(stream, engine, outputs, app, source, recall))
            await outputs.prepare()
            await app.start()
            # One more than there are processes: an event that is decoded and waits, so that none of them idles.
            engine.start(concurrency + (1 if stream.executor == "process" else 0))
        if self._cancel_reader is not None and not await self._has_caught_up(self._cancel_reader):
            return
        for running in self._running:
            running.source.start()

    def _follow_cancels(self, codec: Codec) -> Cancels | None:
        if not any(stream.cancellable for stream in self._streams):
            return None
        cancels = Cancels()

        def take(jobs: list[tuple[str, str]]) -> None:
            for job, why in jobs:
                cancels.add(job, why)
            for engine in self._engines:
                engine.cancel()

        self._cancel_reader = CancelReader(self._settings, codec, take)
        self._cancel_reader.start()
        return cancels

    async def _has_caught_up(self, reader: CancelReader) -> bool:
        """Whether all cancelled jobs are known, rather than it being told to stop; raises if reading them failed."""
        told = asyncio.create_task(self._stop.wait())
        waits: list[asyncio.Future[Any]] = [told, reader.has_caught_up, reader.failed]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if reader.failed.done():
            reader.failed.result()
        return reader.has_caught_up.done()

    async def _until_told(self, watch: asyncio.Task[None]) -> int:
        told = asyncio.create_task(self._stop.wait())
        recycled = [asyncio.create_task(running.engine.recycle.wait()) for running in self._running]
        failed = [part.failed for running in self._running for part in (running.source, running.recall)]
        if self._cancel_reader is not None:
            failed.append(self._cancel_reader.failed)
        ended: list[asyncio.Future[Any]] = [watch, *failed]
        await asyncio.wait([told, *recycled, *ended], return_when=asyncio.FIRST_COMPLETED)
        error = next((future.exception() for future in ended if future.done()), None)
        error = error or next((running.engine.fault for running in self._running if running.engine.fault), None)
        status = EXIT_OK
        if error is None and any(running.engine.recycle.is_set() for running in self._running):
            self._log.error("this process can't go on and is replaced")
            status = EXIT_RECYCLE
        if not self._stop.is_set():
            self.stop()
        # The watch goes on meanwhile: a handler that hangs must not cost the others the time to finish.
        await self._drain()
        for task in (told, *recycled):
            task.cancel()
        if error is not None:
            raise error
        return status

    async def _drain(self) -> None:
        self._log.info("stopping", deadline_seconds=self._drain_seconds)
        streams = list(self._running)
        await asyncio.gather(*(self._finish(running) for running in streams))
        self._log.info("stopped", events={running.stream.name: running.engine.finished for running in streams})

    async def _finish(self, running: Running) -> None:
        if not await running.engine.drain(self._drain_seconds * 0.6):
            events = sum(part.count + part.stubs for part in running.engine.parts.values())
            self._log.warning("handing back what is not finished", stream=running.stream.name, events=events)
        await self._leave(running)

    async def _leave(self, running: Running) -> None:
        self._running.remove(running)
        # While the broker is away all of this takes as long as it may. Kept back: time for the outputs, and for the end
        # of the process, which doesn't take longer where there is more time.
        kept_seconds = self._drain_seconds * 0.1 + min(END_SECONDS, self._drain_seconds * 0.15)
        await running.source.stop(max(0.0, self._ends_at - time.monotonic() - kept_seconds))
        await running.engine.stop()
        await asyncio.to_thread(running.recall.stop)
        try:
            await running.outputs.close(self._drain_seconds * 0.1)
        except TidemillError as error:
            # Their events are not committed: they run again elsewhere and publish the same ids.
            self._log.warning("outputs not delivered", stream=running.stream.name, error=str(error))
        await running.app.stop()
