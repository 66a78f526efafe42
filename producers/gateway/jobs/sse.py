"""Server-sent events as they go over the wire (HTML Living Standard, 9.2). Computes only.

Every value is checked or split so that none can end its line and begin a field of its own.
"""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b":\n\n"
"""A comment: nothing for the reader, but proxies and the connection see that somebody is there."""

MOST_ID_CHARACTERS = 200


def event(name: str, data: str, event_id: str | None = None) -> bytes:
    """One event.

    Args:
        name: Its type, what `addEventListener` takes.
        data: One line of text, such as `json_line` makes.
        event_id: What the reader sends as `Last-Event-ID` when it comes again.

    Raises:
        ValueError: The name, the id or the data would break its line.
    """
    for word in (name, event_id or ""):
        if not word.isprintable():
            raise ValueError(f"A server-sent event's name and id are one printable line, found {word!r}.")
    if "\n" in data or "\r" in data:
        raise ValueError("A server-sent event's data is one line here.")
    lines = [f"event: {name}", f"data: {data}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines).encode() + b"\n\n"


def json_line(data: Any) -> str:
    """JSON data in one line; raises ValueError for what JSON has no word for."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def retry(seconds: float) -> bytes:
    """Tells the reader how long to wait before it connects again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode()


def last_event_id(header: str | None) -> str | None:
    """The id of the last event that a reader has had; None where it names none that could be ours."""
    if not header or len(header) > MOST_ID_CHARACTERS or not header.isprintable():
        return None
    return header
