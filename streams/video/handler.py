"""The handler of the video stream: `video.requested` in, `video.processed` out, in a process that can be killed.

ffmpeg is in that process's group: whoever stops the handler (its time limit, a cancelled job, a worker that ends) stops
ffmpeg with it.
"""

from __future__ import annotations

from functools import lru_cache

from streams.video.settings import VideoSettings, load_video_settings
from tidemill.event import Event
from tidemill.events import VideoProcessed, VideoRequested
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.store import Store

TIMEOUT_SECONDS = 4 * 3600.0
"""Above TIDEMILL_VIDEO_MAX_WALL_SECONDS, which gives the better message."""


# No `memory_bytes`: ffmpeg has a limit of its own, the settings', and inherits none that is lower.
@stream(
    "video.requested",
    executor="process",
    concurrency=1,
    cancellable=True,
    timeout=TIMEOUT_SECONDS,
    retry=Retry(attempts=3, first=5.0, most=300.0),
    room=16,
)
def video(event: Event[VideoRequested], work: Work) -> VideoProcessed:
    """Make the versions that one event asks for."""
    # Imported here, in the process that needs it: the worker itself stays small.
    from streams.video.process import process

    return process(
        event.payload,
        _store(work.settings.object_store, *work.settings.store_allow),
        _limits(),
        work.progress,
        remaining_seconds=work.remaining_seconds,
    )


@lru_cache(maxsize=1)
def _store(home: str, *allow: str) -> Store:
    """The store, opened once per process."""
    return Store.from_urls(home, allow)


@lru_cache(maxsize=1)
def _limits() -> VideoSettings:
    return load_video_settings()
