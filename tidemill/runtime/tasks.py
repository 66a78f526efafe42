"""The tasks of an engine: kept from being collected, and none of them ends by an error unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import structlog


class Tasks:
    """Tasks of one engine.

    Args:
        wind_up: Called where one has ended by a fault of the runtime: its unit stays unfinished, so that nothing is
            committed past it.
        log: For that.
    """

    def __init__(self, wind_up: Callable[[], None], log: structlog.stdlib.BoundLogger) -> None:
        self._wind_up = wind_up
        self._log = log
        self._kept: set[asyncio.Task[None]] = set()
        self._on_end = self._ended
        self.stopped = False
        """From here on a task may be cancelled."""

    def __len__(self) -> int:
        return len(self._kept)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the slots."""
        self._kept.add(self.watched(work))

    def watched(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        """A task that somebody else keeps."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        return task

    def look_away(self, task: asyncio.Task[None]) -> None:
        """However this task ends, it is no fault."""
        task.remove_done_callback(self._on_end)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it ends, however that is."""
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._kept.discard(task)
        if task.cancelled():
            error: BaseException | None = None if self.stopped else asyncio.CancelledError("by somebody else")
        else:
            error = task.exception()
        if error is not None:
            self._log.critical("a task ended by an error of the runtime", exc_info=error)
            self._wind_up()

    def stop(self) -> list[asyncio.Task[None]]:
        """Those that are left; from here on they may be cancelled."""
        self.stopped = True
        return list(self._kept)
