"""Follows jobs for all who ask at once: one query a beat for all of them together, whoever many they are.

What is told of a job is always its newest state: a follower that is slow, or was away, misses what came between, never
what holds. Runs in one event loop; the queries run in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from tidemill.errors import TidemillError
from tidemill.jobs import JobStatus
from tidemill.jobs.reading import Glance
from tidemill.telemetry import get_logger

MIN_GAP_SECONDS = 0.05
"""Between two queries, however many followers have just come."""
AWAY_SECONDS = 2.0
"""Between two queries while the database doesn't answer."""


class Asked(Protocol):
    """What is asked of the table of jobs; `tidemill.jobs.Jobs` has it."""

    def glances(self, job_ids: list[str]) -> dict[str, Glance]: ...
    def statuses(self, job_ids: list[str]) -> dict[str, JobStatus | None]: ...


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
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def tell(self) -> None:
        """Wake up all who wait."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class JobWatch:
    """Looks at the jobs that are followed, as long as there are any.

    Args:
        jobs: Where they are looked for.
        beat_seconds: How often.
        on_look: Called each time.
    """

    def __init__(self, jobs: Asked, beat_seconds: float, on_look: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._beat_seconds = beat_seconds
        self._followed: dict[str, Followed] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
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
                await asyncio.wait_for(self._kick.wait(), max(0.0, pause - (time.monotonic() - began)))

    async def _look(self) -> bool:
        """Ask for all that is followed, tell what has changed; whether there was an answer."""
        asked = list(self._followed.values())
        self._on_look()
        try:
            glances = await asyncio.to_thread(self._jobs.glances, [followed.job_id for followed in asked])
            changed = [followed for followed in asked if glances[followed.job_id] != followed.glance]
            statuses = await asyncio.to_thread(self._jobs.statuses, [followed.job_id for followed in changed])
        except TidemillError as error:
            get_logger("gateway").warning("jobs can't be looked for", jobs=len(asked), error=str(error))
            for followed in asked:
                followed.error = error
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
