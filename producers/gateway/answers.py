"""What is answered for an event that Kafka has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from producers.gateway import media_types

if TYPE_CHECKING:
    from tidemill.publisher import Delivered


def accepted(event_id: str, delivered: Delivered, *, repeated: bool = False, **members: Any) -> Response:
    """The answer of an event that Kafka has: 202, since what it asks for is still to be done.

    Args:
        event_id: Its id.
        delivered: Where it lies.
        repeated: Whether it was there before.
        **members: Further members of the answer.
    """
    job = job_path(event_id)
    headers = {"Location": job}
    if repeated:
        headers["Idempotent-Replayed"] = "true"
    answer = {"id": event_id, **delivered._asdict(), "job": job, **members}
    return Response(json.dumps(answer, separators=(",", ":")), 202, headers, media_types.JSON)


def job_path(event_id: str) -> str:
    """Where the job is that an event begins."""
    return f"/jobs/{quote(event_id, safe='')}"
