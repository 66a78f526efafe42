"""The event that throughput is measured with: an ordinary request for three renditions, some 190 bytes with its key."""

from __future__ import annotations

from tidemill.events import ImageRequested, Rendition

KEYS = 5000
RENDITIONS = [Rendition(name=name, width=width, format="jpeg") for name, width in (("l", 1600), ("m", 800), ("s", 200))]


def ordinary_event(number: int) -> ImageRequested:
    """The event of a number; every 5,000th has the same key."""
    return ImageRequested(
        source=f"s3://shop-uploads/2026/11/24/customer-{number % KEYS:06d}/original.jpg", renditions=RENDITIONS
    )
