"""Giving a job up: an event that asks the streams for it. What becomes of that is told with the job."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from producers.gateway.answers import job_path
from producers.gateway.body import Body
from producers.gateway.errors import Problem
from producers.gateway.events.decoding import parsed
from producers.gateway.events.incoming import Incoming
from producers.gateway.events.sending import send
from producers.gateway.jobs.naming import job_id_of
from producers.gateway.tokens.access import authenticated, gateway_of, with_room
from tidemill.events import JobCancel

TYPE = JobCancel.__contract__.type
MOST_CHARACTERS = 1_000


async def cancel(request: Request) -> Response:
    """Ask the streams to give a job up; answered once Kafka has the request.

    The token must name the type `job.cancel`. Whether there is such a job isn't looked at: an event of it may be on its
    way to the table of jobs.
    """
    token, gateway, job_id = await authenticated(request), gateway_of(request), job_id_of(request)
    if not token.may_publish(TYPE, internal=not gateway.tokens.is_open):
        raise Problem(
            "forbidden",
            f"Token {token.name!r} may not give jobs up.",
            hint=f"A token may that names the type exactly: `tidemill tokens create --publish {TYPE} ...`.",
        )
    with_room(request, token)
    with Body(gateway.waiting) as body:
        why = why_of(await body.whole(request, gateway.gateway_settings))
        asked = Incoming(payload=JobCancel(job=job_id, by=token.name or "gateway", why=why))
        event_id, delivered = await send(gateway, asked)
    gateway.tokens.count(token, 1)
    path = job_path(job_id)
    return JSONResponse({"id": event_id, **delivered._asdict(), "job": path}, 202, headers={"Location": path})


def why_of(body: bytes) -> str | None:
    """The reason in a request's body: none, or a JSON object with the member `why`.

    Raises:
        Problem: It is something else.
    """
    if not body.strip():
        return None
    said = parsed(body)
    why = said.get("why") if isinstance(said, dict) and said.keys() <= {"why"} else 0
    if why is None or (isinstance(why, str) and len(why) <= MOST_CHARACTERS):
        return why
    raise Problem(
        "invalid",
        'The body must be empty, or an object such as {"why": "wrong file"}.',
        hint=f"The reason is text of at most {MOST_CHARACTERS:,} characters.",
    )
