"""Follows a job in a terminal, or line by line where there is none, until it is finished."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.text import Text

from consumers.status.job_view import detail_text, job_view, progress_text
from tidemill.console import out
from tidemill.jobs.reading import Jobs, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.jobs.status import EventStatus, JobStatus

MOST_EVENTS = 40
"""In a terminal: what is unfinished or failed comes first."""
FRAME_SECONDS = 0.1


def follow_live(jobs: Jobs, job_id: str) -> JobStatus:
    """Show a job until it is finished; times go on between changes."""
    watch = Watch(jobs, job_id, None)
    status: JobStatus | None = None
    events: Sequence[EventStatus] = ()
    look_at = 0.0
    with Live(console=out, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            if time.monotonic() >= look_at:
                if (changed := watch.look()) is not None:
                    status, events = changed, jobs.events(job_id, MOST_EVENTS)
                look_at = time.monotonic() + watch.pause()
            if status is None:
                live.update(Text(f"Nothing is known of job {job_id} yet ...", "dim"), refresh=True)
            else:
                live.update(job_view(status, events, datetime.now(UTC)), refresh=True)
                if status.is_finished:
                    return status
            time.sleep(max(0.0, min(FRAME_SECONDS, look_at - time.monotonic())))


def follow_lines(jobs: Jobs, job_id: str, *, as_json: bool) -> JobStatus:
    """A line per change on standard output, until it is finished."""
    for status in jobs.follow(job_id):
        if as_json:
            line = json.dumps(job_json(status, jobs.events(job_id)), ensure_ascii=False, default=str)
        else:
            line = _line(status)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if status.is_finished:
            return status
    raise AssertionError("following ends with a finished job")


def job_json(status: JobStatus, events: Sequence[EventStatus]) -> dict[str, Any]:
    """A job and its events as JSON data."""
    return {**status.as_json(), "tree": [event.as_json() for event in events]}


def _line(status: JobStatus) -> str:
    parts = [f"{status.updated_at:%H:%M:%S}", status.state.value]
    if status.events > 1:
        parts.append(f"{status.finished_events:,}/{status.events:,} events")
    if detail := detail_text(status.lead, datetime.now(UTC)):
        parts.append(detail)
    if status.progress is not None and (told := progress_text(status.progress)):
        parts.append(told)
    return "  ".join(parts)
