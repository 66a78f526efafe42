"""Videos through the stream and back: upload, publish, wait for the outcome. What `tidemill video` runs on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from streams.video.settings import VideoSettings
from tidemill.codec import Codec
from tidemill.errors import ObjectTooLarge, StoreError
from tidemill.events import VideoProcessed, VideoRequested
from tidemill.publisher import Publisher
from tidemill.requesting import Requested, Requesting, topics_of
from tidemill.store import Store
from tidemill.tail import Tail


@dataclass(kw_only=True)
class VideoJob(Requested[VideoRequested, VideoProcessed]):
    """One video on its way."""

    file: Path


class VideoJobs(Requesting[VideoJob]):
    """Publishes videos and collects their outcomes.

    Args:
        publisher: Publishes the requests.
        store: Where videos are put so that workers can read them.
        codec: Decodes the results.
        tail: Opened on `TOPICS` before anything is published.
        limits: Largest video that is taken.
    """

    TOPICS = topics_of(VideoRequested, VideoProcessed, progress=True)

    def __init__(self, publisher: Publisher, store: Store, codec: Codec, tail: Tail, limits: VideoSettings) -> None:
        super().__init__(tail, codec, VideoRequested, VideoProcessed)
        self._publisher = publisher
        self._store = store
        self._limits = limits

    def submit(self, file: Path, wanted: VideoRequested) -> VideoJob:
        """Put a video into the store and ask for its versions.

        Args:
            file: The video.
            wanted: What to make; its source is filled in.

        Returns:
            The job, which `outcomes` completes.

        Raises:
            StoreError: The file can't be read, is larger than the workers take, or can't be stored.
            TidemillError: As `Publisher.publish`.
        """
        try:
            size = file.stat().st_size
            if size > self._limits.max_bytes:
                raise ObjectTooLarge(
                    f"{file} has {size:,} bytes; the video stream takes at most {self._limits.max_bytes:,} "
                    "(TIDEMILL_VIDEO_MAX_BYTES)."
                )
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            written = self._store.put(f"uploads/{digest[:2]}/{digest}", file, "application/octet-stream")
        except OSError as error:
            raise StoreError(f"{file} can't be read: {error.strerror or error}.") from error
        request = replace(wanted, source=written.uri, source_sha256=digest)
        receipt = self._publisher.publish(request, subject=file.name)
        return self.watch(VideoJob(request=request, id=receipt.id, file=file))
