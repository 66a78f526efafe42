"""The id of a job in a path. Ids are not secrets, but those that the gateway makes (UUIDv7) can't be guessed either."""

from __future__ import annotations

from starlette.requests import Request

from producers.gateway.errors import Problem
from tidemill.jobs.stored_id import MOST_CHARACTERS

UNKNOWN_HINT = (
    "Check the id; a job that was begun just now is known a moment later, once `tidemill tracker` has read it."
)


def job_id_of(request: Request) -> str:
    """The job that a request's path names.

    Raises:
        Problem: It can't be an id.
    """
    job_id: str = request.path_params["job_id"]
    if not job_id.isprintable() or len(job_id) > MOST_CHARACTERS:
        raise Problem("not-found", "This isn't the id of a job.", hint=UNKNOWN_HINT)
    return job_id
