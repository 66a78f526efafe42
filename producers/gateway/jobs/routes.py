"""The routes of jobs: where one is, following it, the files that came of it, giving it up."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producers.gateway.answers import job_path
from producers.gateway.errors import Problem
from producers.gateway.jobs import sse
from producers.gateway.jobs.cancelling import cancel
from producers.gateway.jobs.desk import JobDesk, desk_of
from producers.gateway.jobs.files import chosen, files_of
from producers.gateway.jobs.naming import UNKNOWN_HINT, job_id_of
from producers.gateway.jobs.openapi import DOCUMENT
from producers.gateway.jobs.sending import send_file
from producers.gateway.jobs.stream import HEADERS, JobStream
from producers.gateway.jobs.watch import Followed, version_of
from producers.gateway.tokens.access import authorised, gateway_of
from producers.gateway.tokens.token import READ_JOBS

if TYPE_CHECKING:
    from tidemill.jobs import JobStatus

MOST_EVENTS = 1_000


def routes() -> list[Route]:
    """The routes."""
    return [
        Route("/jobs/{job_id}", job, methods=["GET"]),
        Route("/jobs/{job_id}/events", events, methods=["GET"]),
        Route("/jobs/{job_id}/files/{which}", job_file, methods=["GET"]),
        Route("/jobs/{job_id}/cancel", cancel, methods=["POST"]),
    ]


def openapi() -> dict[str, Any]:
    """The routes' part of the OpenAPI document: its `paths` and `components`."""
    return DOCUMENT


async def job(request: Request) -> Response:
    """Where a job is; with `?wait=`, once it is finished or has changed, but after so many seconds at the latest."""
    token = await authorised(request, READ_JOBS)
    desk, job_id = desk_of(request), job_id_of(request)
    seen = _version_seen(request.headers.get("if-none-match"))
    wait_seconds = min(_wait(request), desk.settings.max_wait_seconds)
    status = await desk.run(desk.jobs.status, job_id)
    if wait_seconds and (status is None or version_of(status) == seen or (seen is None and not status.is_finished)):
        desk.take_place(token.id)
        try:
            status = await _awaited(request, desk, job_id, seen, wait_seconds)
        finally:
            desk.leave_place(token.id)
    if status is None:
        raise _unknown(job_id)
    etag = f'"{version_of(status)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if version_of(status) == seen:
        return Response(status_code=304, headers=headers)
    answer = shown(status, desk)
    if request.query_params.get("events") in ("1", "true"):
        found = await desk.run(desk.jobs.events, job_id, MOST_EVENTS)
        answer["tree"] = [event.as_json() for event in found]
    return JSONResponse(answer, headers=headers)


async def events(request: Request) -> Response:
    """A job as server-sent events."""
    token = await authorised(request, READ_JOBS)
    desk, job_id = desk_of(request), job_id_of(request)
    seen = sse.last_event_id(request.headers.get("last-event-id"))
    desk.take_place(token.id)
    stream = None
    try:
        status = await _known(request, desk, job_id)
        if status.is_finished and version_of(status) == seen:
            # By this status a reader learns that it needn't come again (HTML Living Standard, 9.2.3).
            return Response(status_code=204)
        if request.method == "HEAD":
            return Response(headers=HEADERS)
        stream = JobStream(
            desk.watch,
            job_id,
            desk.settings,
            lambda status: sse.json_line(shown(status, desk)),
            gateway_of(request).stopping,
            seen,
            lambda: _still_allowed(request),
            lambda: desk.leave_place(token.id),
        )
        return stream
    finally:
        if stream is None:
            desk.leave_place(token.id)


async def job_file(request: Request) -> Response:
    """One file that came of a job."""
    await authorised(request, READ_JOBS)
    desk, job_id, which = desk_of(request), job_id_of(request), request.path_params["which"]
    status = await desk.run(desk.jobs.status, job_id)
    if status is None:
        raise _unknown(job_id)
    files = files_of(status, desk.store)
    file = chosen(files, which)
    if file is None:
        names = ", ".join(sorted({file.name for file in files if file.name}))
        raise Problem(
            "not-found",
            f"Job {job_id} has {len(files)} files, none of them is {which[:80]!r}.",
            hint=f"They are numbered from 0{f' and named {names}' if names else ''}; the job is {status.state}.",
        )
    return await send_file(request, file, desk)


def shown(status: JobStatus, desk: JobDesk) -> dict[str, Any]:
    """A job as it is told: all of its status, its files, and where to go on."""
    path = job_path(status.id)
    told = status.as_json()
    return {
        **told,
        "why": status.why,
        "progress": told["lead"]["progress"],
        "files": [file.as_json(path) for file in files_of(status, desk.store)],
        "links": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"},
    }


async def _known(request: Request, desk: JobDesk, job_id: str) -> JobStatus:
    """A job that is followed: one that was begun just now is waited for a moment."""
    status = await desk.run(desk.jobs.status, job_id)
    if status is None:
        status = await _awaited(request, desk, job_id, None, desk.settings.unknown_seconds, until_finished=False)
    if status is None:
        raise _unknown(job_id)
    return status


async def _still_allowed(request: Request) -> bool:
    """Whether a request's token would still let it in."""
    token = request.scope.pop("tidemill.token")
    try:
        await authorised(request, READ_JOBS)
    except Problem:
        return False
    finally:
        request.scope["tidemill.token"] = token
    return True


async def _awaited(
    request: Request, desk: JobDesk, job_id: str, seen: str | None, seconds: float, *, until_finished: bool = True
) -> JobStatus | None:
    """A job once it is finished or isn't as it was seen; as it is then, or after so many seconds.

    Args:
        request: Whose sender may hang up meanwhile.
        desk: Who looks.
        job_id: The job.
        seen: The version that is known already.
        seconds: At most so long.
        until_finished: Where no version is known: whether to wait for its end, or only until it is known.
    """
    stopping = gateway_of(request).stopping
    deadline = time.monotonic() + seconds
    with desk.watch.following(job_id) as followed:
        while not _is_awaited(followed, seen, until_finished=until_finished):
            left = deadline - time.monotonic()
            if left <= 0 or stopping.is_set():
                break
            # A second at most, so that a sender who has hung up, or the end of the gateway, is soon noticed.
            await followed.changed(min(left, 1.0))
            if await request.is_disconnected():
                break
        if followed.error is not None:
            raise followed.error
        return followed.status


def _is_awaited(followed: Followed, seen: str | None, *, until_finished: bool) -> bool:
    if followed.error is not None:
        return True
    status = followed.status
    if status is None:
        return False
    if seen is not None:
        return version_of(status) != seen
    return status.is_finished or not until_finished


def _wait(request: Request) -> float:
    text = request.query_params.get("wait")
    if text is None:
        return 0.0
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 <= seconds < 1e9:
            return seconds
    raise Problem(
        "bad-request",
        f"wait={text[:40]!r} is no number of seconds.",
        hint="Write wait=30, or leave it out.",
        field="wait",
    )


def _version_seen(header: str | None) -> str | None:
    """The version in a header `If-None-Match`; None where there is none that could be ours."""
    if not header or len(header) > sse.MOST_ID_CHARACTERS:
        return None
    return header.strip().removeprefix("W/").strip('"') or None


def _unknown(job_id: str) -> Problem:
    return Problem(
        "not-found", f"Nothing is known of job {json.dumps(job_id)}.", hint=UNKNOWN_HINT, headers={"Retry-After": "2"}
    )
