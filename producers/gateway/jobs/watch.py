"""Follows jobs for all who ask at once: one query a beat for all of them together, whoever many they are.

What is told of a job is always its newest state: a follower that is slow, or was away, misses what came between, never
what holds. Runs in one event loop; the queries run in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ParamSpec, Protocol, TypeVar

from tidemill.errors import StatusUnavailable, TidemillError
from tidemill.jobs import JobStatus
from tidemill.jobs.reading import Glance
from tidemill.telemetry import get_logger

P = ParamSpec("P")
T = TypeVar("T")

MIN_GAP_SECONDS = 0.05
"""Between two queries, however many followers have just come."""
AWAY_SECONDS = 2.0
"""Between two queries while the database doesn't answer."""


class Asked(Protocol):
    """What is asked of the table of jobs; `tidemill.jobs.Jobs` has it."""

    def glances(self, job_ids: list[str]) -> dict[str, Glance]: ...
    def statuses(self, job_ids: list[str]) -> dict[str, JobStatus | None]: ...


class Run(Protocol):
    """Runs what blocks in a thread."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


class Followed:
    """A job that somebody follows."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.followers = 0
        self.status: JobStatus | None = None
        """None: not known, or not looked for yet."""
        self.glance: Glance = None
        self.error: TidemillError | None = None
        """Why it could not be looked for, the last time."""
        self.looks = 0
        """How often it was looked for."""
        self._text: tuple[str, str] | None = None
        self._changed = asyncio.Event()

    async def changed(self, seconds: float | None) -> bool:
        """Wait for something new: a state, a first look, an error.

        Args:
            seconds: At most so long; None for ever.

        Returns:
            Whether there is something.
        """
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def text(self, shown: Callable[[JobStatus], str]) -> str:
        """What is told of its status: made once for all who follow it."""
        assert self.status is not None
        version = version_of(self.status)
        if self._text is None or self._text[0] != version:
            self._text = version, shown(self.status)
        return self._text[1]

    def tell(self) -> None:
        """Wake up all who wait."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class JobWatch:
    """Looks at the jobs that are followed, as long as there are any.

    Args:
        jobs: Where they are looked for.
        beat_seconds: How often.
        run: Runs the queries.
        on_look: Called each time.
    """

    def __init__(
        self,
        jobs: Asked,
        beat_seconds: float,
        run: Run = asyncio.to_thread,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._beat_seconds = beat_seconds
        self._followed: dict[str, Followed] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._run_blocking = run
        self._on_look = on_look

    @contextmanager
    def following(self, job_id: str) -> Iterator[Followed]:
        """Follow a job within the block; it need not be known."""
        followed = self._followed.get(job_id)
        if followed is None:
            followed = self._followed[job_id] = Followed(job_id)
            self._kick.set()
        followed.followers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield followed
        finally:
            followed.followers -= 1
            if not followed.followers:
                del self._followed[job_id]

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while self._followed:
            self._kick.clear()
            began = time.monotonic()
            pause = self._beat_seconds if await self._look() else AWAY_SECONDS
            await asyncio.sleep(MIN_GAP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause - (time.monotonic() - began))):
                    await self._kick.wait()

    async def _look(self) -> bool:
        """Ask for all that is followed, tell what has changed; whether there was an answer."""
        asked = list(self._followed.values())
        self._on_look()
        try:
            glances = await self._run_blocking(self._jobs.glances, [followed.job_id for followed in asked])
            changed = [followed for followed in asked if glances[followed.job_id] != followed.glance]
            ids = [followed.job_id for followed in changed]
            statuses = await self._run_blocking(self._jobs.statuses, ids) if ids else {}
        except Exception as error:  # noqa: BLE001 - told to all who follow, and logged
            # A fault of ours, too: it must not leave all who follow waiting for ever.
            known = (
                error if isinstance(error, TidemillError) else StatusUnavailable("Jobs can't be looked for: a fault.")
            )
            fault = None if known is error else error
            get_logger("gateway").warning("jobs can't be looked for", jobs=len(asked), error=str(error), exc_info=fault)
            for followed in asked:
                followed.error = known
                followed.looks += 1
                followed.tell()
            return False
        for followed in changed:
            followed.glance = glances[followed.job_id]
            followed.status = statuses[followed.job_id]
            followed.tell()
        for followed in asked:
            if not followed.looks or followed.error is not None:
                followed.tell()
            followed.error = None
            followed.looks += 1
        return True


def version_of(status: JobStatus) -> str:
    """What changes whenever anything does that is told of a job: its ETag, and the id of its server-sent events."""
    updated_ms = round(status.updated_at.timestamp() * 1000)
    return f"{status.state}-{updated_ms}-{status.finished_events}-{status.events}"
