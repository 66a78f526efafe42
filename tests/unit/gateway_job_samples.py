"""Jobs as the table tells them, for tests of the gateway."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from tidemill.jobs import EventStatus, JobStatus, State
from tidemill.jobs.reading import Glance

AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


def status(job_id: str, state: State, seconds: int = 0) -> JobStatus:
    at = AT.replace(second=seconds)
    lead = EventStatus(id=job_id, type="image.requested", cause=None, state=state, created_at=AT, updated_at=at)
    return JobStatus(job_id, "image.requested", state, AT, at, 1, int(state.is_finished), lead)


class Table:
    """The table of jobs, in memory."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobStatus] = {}
        self.error: Exception | None = None
        self.asked: Counter[str] = Counter()

    def glances(self, job_ids: list[str]) -> dict[str, Glance]:
        if self.error is not None:
            raise self.error
        self.asked["glances"] += 1
        found = {job_id: self.jobs.get(job_id) for job_id in job_ids}
        return {
            job_id: None if job is None else (job.state, job.updated_at.second, job.events, job.finished_events)
            for job_id, job in found.items()
        }

    def statuses(self, job_ids: list[str]) -> dict[str, JobStatus | None]:
        self.asked["statuses"] += len(job_ids)
        return {job_id: self.jobs[job_id] for job_id in job_ids}
