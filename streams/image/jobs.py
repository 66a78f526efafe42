"""Pictures through the stream and back: upload, publish, wait for the outcome. What `tidemill image` runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.image.settings import ImageSettings
from tidemill.codec import Codec
from tidemill.errors import ObjectTooLarge, StoreError
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.publisher import Publisher
from tidemill.requesting import Requested, Requesting, topics_of
from tidemill.store import Store
from tidemill.tail import Tail


@dataclass(kw_only=True)
class Job(Requested[ImageRequested, ImageProcessed]):
    """One picture on its way."""

    file: Path
    source_bytes: int

    @property
    def source(self) -> str:
        """URI of the picture."""
        return self.request.source


class ImageJobs(Requesting[Job]):
    """Publishes pictures and collects their outcomes.

    Args:
        publisher: Publishes the requests.
        store: Where pictures are put so that workers can read them.
        codec: Decodes the results.
        tail: Opened on `TOPICS` before anything is published.
        limits: Largest picture that is taken.
    """

    TOPICS = topics_of(ImageRequested, ImageProcessed)

    def __init__(self, publisher: Publisher, store: Store, codec: Codec, tail: Tail, limits: ImageSettings) -> None:
        super().__init__(tail, codec, ImageRequested, ImageProcessed)
        self._publisher = publisher
        self._store = store
        self._limits = limits

    def submit(self, file: Path, renditions: Sequence[Rendition]) -> Job:
        """Put a picture into the store and ask for its renditions.

        Args:
            file: The picture.
            renditions: What to make.

        Returns:
            The job, which `outcomes` completes.

        Raises:
            StoreError: The file can't be read, is larger than the workers take, or can't be stored.
            TidemillError: As `Publisher.publish`.
        """
        data = _read(file, self._limits.max_bytes)
        digest = hashlib.sha256(data).hexdigest()
        written = self._store.write(f"uploads/{digest[:2]}/{digest}", data, "application/octet-stream")
        request = ImageRequested(source=written.uri, renditions=list(renditions), source_sha256=digest)
        receipt = self._publisher.publish(request, subject=file.name)
        return self.watch(Job(request=request, id=receipt.id, file=file, source_bytes=len(data)))


def _read(file: Path, most_bytes: int) -> bytes:
    try:
        size = file.stat().st_size
        if size > most_bytes:
            raise ObjectTooLarge(
                f"{file} has {size:,} bytes; the image stream takes at most {most_bytes:,} (TIDEMILL_IMAGE_MAX_BYTES)."
            )
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file} can't be read: {error.strerror or error}.") from error
