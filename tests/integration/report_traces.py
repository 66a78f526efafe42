"""Streams for the tests of reports: two that leave the traces which the report `daily-activity` reads."""

from __future__ import annotations

from tidemill.errors import Reject
from tidemill.event import Event
from tidemill.events import EmailRequested, EmailSent, ImageProcessed, ImageRequested, Original
from tidemill.runtime.stream import stream


@stream("image.requested", name="image")
async def quick_image(event: Event[ImageRequested]) -> ImageProcessed:
    """A picture that is done at once, or is broken."""
    if "broken" in event.payload.source:
        raise Reject("The picture is cut off.")
    original = Original(sha256="0" * 64, bytes=1, width=1, height=1, format="png", mode="RGB")
    return ImageProcessed(source=event.payload.source, original=original, dominant_color="#000000", renditions=[])


@stream("email.requested", name="email")
async def quick_email(event: Event[EmailRequested]) -> EmailSent:
    """A mail that is sent at once."""
    return EmailSent(message_id=event.id, accepted=event.payload.to, refused=[])
