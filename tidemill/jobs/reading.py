"""Jobs: asks the tracker's tables where jobs are, and waits for them. Reads only; connects when it is first asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from tidemill.errors import JobCancelled, JobFailed, JobUnfinished
from tidemill.jobs.database import Database
from tidemill.jobs.pace import Pace
from tidemill.jobs.state import State
from tidemill.jobs.status import EventStatus, JobStatus
from tidemill.jobs.stored_id import stored_id

if TYPE_CHECKING:
    from tidemill.config import Settings

Glance = tuple[State, int, int, int] | None
"""State, time of the last change in milliseconds since 1970, number of events, and of finished ones."""

MOST_PARAMETERS = 10_000
"""Of one statement: SQLite takes 32,766, Postgres 65,535."""


class Jobs:
    """Where jobs are; thread-safe.

    Args:
        settings: Where the table of jobs is.

    Raises:
        ConfigError: The extra `status` isn't installed, or `status_url` can't be used.

    All methods raise StatusUnavailable where there is no table yet, or its database doesn't answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings)

    def status(self, job_id: str) -> JobStatus | None:
        """Where a job is now.

        Args:
            job_id: The id of the event that it began with: `receipt.id` of what was published.

        Returns:
            None where the tracker knows nothing of it: not yet, not any more, or it never was.
        """
        from tidemill.jobs.queries import job_status

        with self._database.reading() as connection:
            return job_status(connection, stored_id(job_id))

    def events(self, job_id: str, limit: int = 1000) -> tuple[EventStatus, ...]:
        """The events of a job, oldest first; their causes make a tree of them.

        Args:
            job_id: The job.
            limit: At most so many; of more, those that are unfinished or failed come first.
        """
        from tidemill.jobs.queries import events_of

        with self._database.reading() as connection:
            return events_of(connection, stored_id(job_id), limit)

    def job_of(self, event_id: str) -> str | None:
        """The job that an event belongs to; None where it isn't known."""
        from tidemill.jobs.queries import job_of

        with self._database.reading() as connection:
            return job_of(connection, stored_id(event_id))

    def listed(
        self,
        *,
        states: Collection[State] = (),
        type: str | None = None,
        since: datetime | None = None,
        limit: int = 20,
    ) -> list[JobStatus]:
        """Jobs without their results, those to which something happened last first.

        Args:
            states: Only these; empty for all.
            type: Only those that began with an event of this type.
            since: Only those to which something happened since, aware.
            limit: At most so many.
        """
        from tidemill.jobs.queries import jobs_listed

        with self._database.reading() as connection:
            return jobs_listed(connection, states=states, job_type=type, since=since, limit=limit)

    def wait(self, job_id: str, timeout: float | None = None) -> JobStatus:
        """Wait until a job is done.

        Args:
            job_id: The job; it need not be known yet.
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            Its status, with the results.

        Raises:
            JobFailed, JobCancelled: It ended so; says why.
            JobUnfinished: Not in this time; also a TimeoutError.
        """
        for status in self.follow(job_id, timeout):
            if status.is_finished:
                return outcome(status)
        raise AssertionError("following ends with a finished job, or raises")

    async def wait_async(self, job_id: str, timeout: float | None = None) -> JobStatus:
        """As `wait`, without holding up the event loop."""
        async for status in self.follow_async(job_id, timeout):
            if status.is_finished:
                return outcome(status)
        raise AssertionError("following ends with a finished job, or raises")

    def follow(self, job_id: str, timeout: float | None = None) -> Iterator[JobStatus]:
        """A job's status now, and each time that it has changed, until it is finished.

        Args:
            job_id: The job; it need not be known yet.
            timeout: Seconds to follow it at most; None for ever.

        Raises:
            JobUnfinished: The time is over; also a TimeoutError.
        """
        watch = Watch(self, job_id, timeout)
        while True:
            if (status := watch.look()) is not None:
                yield status
                if status.is_finished:
                    return
            time.sleep(watch.pause())

    async def follow_async(self, job_id: str, timeout: float | None = None) -> AsyncIterator[JobStatus]:
        """As `follow`, without holding up the event loop."""
        watch = Watch(self, job_id, timeout)
        while True:
            if (status := await asyncio.to_thread(watch.look)) is not None:
                yield status
                if status.is_finished:
                    return
            await asyncio.sleep(watch.pause())

    def close(self) -> None:
        """Close the connections; it can be used again."""
        self._database.close()

    def glance(self, job_id: str) -> Glance:
        """What changes whenever anything does: cheap, to be asked often; None where the job isn't known."""
        from tidemill.jobs.queries import job_glance

        with self._database.reading() as connection:
            return job_glance(connection, stored_id(job_id))

    def glances(self, job_ids: Collection[str]) -> dict[str, Glance]:
        """As `glance`, of many jobs: one query for some thousands of them; None for those that aren't known."""
        from tidemill.jobs.queries import job_glances

        stored = {job_id: stored_id(job_id) for job_id in job_ids}
        keys = list(stored.values())
        found: dict[str, Glance] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), MOST_PARAMETERS):
                found.update(job_glances(connection, keys[start : start + MOST_PARAMETERS]))
        return {job_id: found.get(key) for job_id, key in stored.items()}

    def statuses(self, job_ids: Collection[str]) -> dict[str, JobStatus | None]:
        """As `status`, of many jobs: a few queries for some thousands of them."""
        from tidemill.jobs.queries import job_statuses

        stored = {job_id: stored_id(job_id) for job_id in job_ids}
        keys = list(stored.values())
        found: dict[str, JobStatus] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), MOST_PARAMETERS):
                found.update(job_statuses(connection, keys[start : start + MOST_PARAMETERS]))
        return {job_id: found.get(key) for job_id, key in stored.items()}


class Watch:
    """Looks at a job again and again, for whoever waits for it.

    Args:
        jobs: Where to look.
        job_id: The job.
        timeout: Seconds until `pause` gives up; None for never.
    """

    def __init__(self, jobs: Jobs, job_id: str, timeout: float | None) -> None:
        self._jobs = jobs
        self._job_id = job_id
        self._timeout = timeout
        self._pace = Pace(timeout)
        self._seen: Glance = None
        self._status: JobStatus | None = None

    def look(self) -> JobStatus | None:
        """The job's status if it has changed since the last look, else None."""
        seen = self._jobs.glance(self._job_id)
        if seen is None or seen == self._seen:
            return None
        self._seen = seen
        self._status = self._jobs.status(self._job_id)
        self._pace.changed()
        return self._status

    def pause(self) -> float:
        """How long to wait before the next look, in seconds.

        Raises:
            JobUnfinished: The time is over.
        """
        pause = self._pace.pause()
        if pause is None:
            raise unfinished(self._job_id, self._status, self._timeout or 0.0)
        return pause


def outcome(status: JobStatus) -> JobStatus:
    """The status of a finished job, if it is done.

    Raises:
        JobFailed, JobCancelled: It isn't; says why.
    """
    if status.state is State.CANCELLED:
        raise JobCancelled(f"Job {status.id} was given up: {status.why}.")
    if status.state is State.FAILED:
        failure = status.failures[0]
        tries = "1 try" if failure.attempts == 1 else f"{failure.attempts} tries"
        raise JobFailed(
            f"Job {status.id} has failed: {failure.error.rpartition('.')[2]}: {failure.message} "
            f"(stream {failure.stream}, {tries}, dead letter {failure.topic}/{failure.partition}/{failure.offset})",
            hint="Mend the cause, and publish the dead letter again.",
        )
    return status


def unfinished(job_id: str, status: JobStatus | None, seconds: float) -> JobUnfinished:
    """The error for "not in this time".

    Args:
        job_id: The job.
        status: What is known of it.
        seconds: How long somebody waited.
    """
    if status is None:
        return JobUnfinished(
            f"Nothing was heard of job {job_id} within {seconds:g} s.",
            hint="Check the id, and that the tracker runs and keeps up (`tidemill doctor`).",
        )
    about = str(status.state)
    if status.lead.stream is not None:
        about += f", stream {status.lead.stream}"
    if status.lead.until is not None:
        about += f", until {status.lead.until:%Y-%m-%d %H:%M:%S} UTC"
    return JobUnfinished(
        f"Job {job_id} wasn't finished within {seconds:g} s: {about}.",
        hint="It goes on; wait again, or ask for its status.",
    )
