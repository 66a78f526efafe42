"""Which media types bodies of events have, and what a request says that its own is."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING

from producers.gateway.errors import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
AVRO = "application/avro"

_OTHER_NAMES = {
    "text/json": JSON,
    "application/ndjson": LINES,
    "application/jsonl": LINES,
    "application/x-jsonlines": LINES,
    "avro/binary": AVRO,
    "application/vnd.apache.avro": AVRO,
}


def media_type_of(request: Request, taken: tuple[str, ...]) -> str:
    """The media type of a request's body, without its parameters.

    Args:
        request: The request.
        taken: Those that its route takes.

    Raises:
        Problem: 415 for another one, none, or a character set that isn't UTF-8.
    """
    text = request.headers.get("content-type", "")
    header = Message()
    header["Content-Type"] = text
    found = header.get_content_type() if text else ""
    found = _OTHER_NAMES.get(found, found)
    if found not in taken:
        raise Problem(
            "media-type",
            f"The body is {text[:80]!r}; {', '.join(taken)} are taken here."
            if text
            else "It isn't said what the body is.",
            hint=f"Send it with a header such as `Content-Type: {taken[0]}`.",
            headers={"Accept": ", ".join(taken)},
        )
    charset = header.get_param("charset")
    if charset is not None and str(charset).lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
        raise Problem("media-type", f"The character set {str(charset)[:40]!r} isn't taken; JSON is UTF-8.")
    return found
