"""Is what came out right? Every rendition is read back and compared with what its event says and what was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO

from PIL import Image

from streams.image.jobs import Job
from tidemill.errors import StoreError
from tidemill.events import ImageProcessed, Rendition
from tidemill.store import Store


def faults_of(jobs: Sequence[Job], renditions: Sequence[Rendition], store: Store, *, broken: str) -> list[str]:
    """Everything that isn't as it should be, a line each; empty if all is right.

    Args:
        jobs: What was submitted, and what became of it.
        renditions: What was asked for, of each picture.
        store: Where renditions lie.
        broken: Name of the picture that must have become a dead letter.
    """
    faults: list[str] = []
    for job in jobs:
        name = job.file.name
        if name == broken:
            if job.failure is None:
                faults.append(f"{name} should have become a dead letter")
        elif job.result is None:
            faults.append(f"{name} has no result" + (f": {job.failure}" if job.failure else ""))
        else:
            faults.extend(f"{name}: {fault}" for fault in _faults(job.result, renditions, store))
    if not any(job.result is not None for job in jobs):
        faults.append("no picture was processed")
    return faults


def _faults(result: ImageProcessed, asked: Sequence[Rendition], store: Store) -> Iterator[str]:
    if [made.name for made in result.renditions] != [wanted.name for wanted in asked]:
        yield f"renditions are {[made.name for made in result.renditions]}"
        return
    for wanted, made in zip(asked, result.renditions, strict=True):
        try:
            data = store.read(made.uri, made.bytes)
        except StoreError as error:
            yield f"{made.name}: {error}"
            continue
        if hashlib.sha256(data).hexdigest() != made.sha256:
            yield f"{made.name}: its SHA-256 isn't that of its event"
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            if picture.size != (made.width, made.height) or (picture.format or "").lower() != made.format:
                yield f"{made.name}: is {picture.size} {picture.format}, its event says {made.width}x{made.height}"
            if wanted.width is not None and picture.width > wanted.width:
                yield f"{made.name}: is {picture.width} wide, at most {wanted.width} were asked for"
            if wanted.fit == "cover" and picture.size != (wanted.width, wanted.height):
                yield f"{made.name}: is {picture.size}, {wanted.width}x{wanted.height} were asked for"
