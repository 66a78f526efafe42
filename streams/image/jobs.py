"""Pictures through the stream and back: upload, publish, wait for the outcome. What `tidemill image` and others run on.

A job is known by its event's id: the result names it as its cause, a dead letter carries it as its own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streams.image.settings import ImageSettings
from tidemill.codec import Codec
from tidemill.errors import ObjectTooLarge, StoreError
from tidemill.event import Event
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.publisher import Publisher
from tidemill.runtime import deadletter
from tidemill.store import Store
from tidemill.tail import Tail

if TYPE_CHECKING:
    from confluent_kafka import Message


@dataclass
class Job:
    """One picture on its way.

    `result` or `failure` is set once it is through; `seconds` counts from its publication.
    """

    file: Path
    id: str
    source: str
    source_bytes: int
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    result: ImageProcessed | None = None
    failure: str | None = None


class ImageJobs:
    """Publishes pictures and collects their outcomes.

    Args:
        publisher: Publishes the requests.
        store: Where pictures are put so that workers can read them.
        codec: Decodes the results.
        tail: Opened on `image.processed` and `image.requested.dead` before anything is published.
        limits: Largest picture that is taken.
    """

    TOPICS = (ImageProcessed.__contract__.topic, ImageRequested.__contract__.dead_topic)

    def __init__(self, publisher: Publisher, store: Store, codec: Codec, tail: Tail, limits: ImageSettings) -> None:
        self._publisher = publisher
        self._store = store
        self._codec = codec
        self._tail = tail
        self._limits = limits
        self.jobs: dict[str, Job] = {}

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
        job = self.jobs[receipt.id] = Job(file, receipt.id, written.uri, len(data))
        return job

    @property
    def waiting(self) -> list[Job]:
        """Jobs without an outcome."""
        return [job for job in self.jobs.values() if job.seconds is None]

    def outcomes(self, timeout_seconds: float) -> Iterator[Job]:
        """Jobs as they come through, until all are or so long nothing has come.

        Args:
            timeout_seconds: Longest wait for the next outcome.
        """
        last = time.monotonic()
        while self.waiting and time.monotonic() - last < timeout_seconds:
            for message in self._tail.read(0.5):
                job = self._settle(message)
                if job is not None:
                    last = time.monotonic()
                    yield job

    def _settle(self, message: Message) -> Job | None:
        event = Event.received(None, message)
        dead = (message.topic() or "").endswith(ImageRequested.__contract__.dead_topic)
        job = self.jobs.get(event.id if dead else event.cause or "")
        if job is None or job.seconds is not None:
            return None  # Somebody else's, or an event that ran twice.
        if dead:
            reason = dict(event.raw_headers).get(deadletter.MESSAGE, b"")
            job.failure = reason.decode("utf-8", "replace") or "dead letter without a reason"
        else:
            job.result = self._codec.decode(message.value(), ImageProcessed)
        job.seconds = time.monotonic() - job.started
        return job


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
