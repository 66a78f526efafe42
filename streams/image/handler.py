"""The handler of the image stream: `image.requested` in, `image.processed` out, in a process that can be killed."""

from __future__ import annotations

from functools import lru_cache

from streams.image.settings import ImageSettings, load_image_settings
from tidemill.event import Event
from tidemill.events import ImageProcessed, ImageRequested
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.store import Store

MEMORY_BYTES = 2 * 1024**3
"""Enough for the largest picture that the default limits let in, decoded, and its largest rendition."""


@stream(
    "image.requested",
    executor="process",
    timeout=120.0,
    retry=Retry(attempts=5, first=1.0, most=60.0),
    room=64,
    memory_bytes=MEMORY_BYTES,
)
def image(event: Event[ImageRequested], work: Work) -> ImageProcessed:
    """Make the renditions that one event asks for."""
    # Imported here, in the process that needs it: the worker itself stays small.
    from streams.image.process import process

    return process(event.payload, _store(work.settings.object_store, *work.settings.store_allow), _limits())


@lru_cache(maxsize=1)
def _store(home: str, *allow: str) -> Store:
    """The store, opened once per process."""
    return Store.from_urls(home, allow)


@lru_cache(maxsize=1)
def _limits() -> ImageSettings:
    return load_image_settings()
