"""The work for one event: read the picture, make its renditions, write them under names made from their content.

Without Kafka, so that it can be run and tested anywhere, and in a process of its own. Doing the same event again
writes the same files under the same names, that is nothing.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

from streams.image.encode import EXTENSIONS
from streams.image.render import Rendered, RenderedFile, render
from streams.image.request import check_renditions
from streams.image.settings import ImageSettings
from tidemill.errors import Reject
from tidemill.events import ImageProcessed, ImageRequested, RenditionResult
from tidemill.store import Store

MOST_WRITES_AT_ONCE = 8

_SHA256 = re.compile(r"[0-9a-f]{64}")


def process(request: ImageRequested, store: Store, settings: ImageSettings) -> ImageProcessed:
    """Make and store what an event asks for.

    Args:
        request: The event.
        store: Where the picture is read and its renditions are written.
        settings: Limits and default qualities.

    Raises:
        Reject: The request or the picture can't be processed; trying again doesn't help.
        StoreError: The picture can't be read or a rendition can't be written (`retriable` says whether for now).
    """
    check_renditions(request.renditions, settings)
    expected = request.source_sha256
    if expected is not None and not _SHA256.fullmatch(expected):
        raise Reject(f"source_sha256 {expected[:80]!r} isn't 64 lowercase hex digits.")
    data = store.read(request.source, settings.max_bytes)
    if expected is not None and (found := hashlib.sha256(data).hexdigest()) != expected:
        raise Reject(
            f"The picture isn't the one that was meant: its SHA-256 is {found}, expected {expected}.",
            hint="It was replaced or cut off since the event was published; publish a new event.",
        )
    rendered = render(data, request.renditions, settings, metadata=request.metadata)
    results = [
        RenditionResult(
            name=file.name,
            uri=uri,
            width=file.width,
            height=file.height,
            bytes=len(file.data),
            sha256=file.sha256,
            format=file.format,
            content_type=file.content_type,
            frames=file.frames,
        )
        for file, uri in zip(rendered.files, _write(store, rendered), strict=True)
    ]
    return ImageProcessed(
        source=request.source,
        original=rendered.original,
        dominant_color=rendered.dominant_color,
        blurhash=rendered.blurhash,
        renditions=results,
        notes=list(rendered.notes),
    )


def _write(store: Store, rendered: Rendered) -> list[str]:
    """Write all renditions at once, since to write is to wait: for a disk's fsync, or for an answer from a cloud."""

    def write(file: RenderedFile) -> str:
        return store.write(object_name(rendered.original.sha256, file), file.data, file.content_type).uri

    with ThreadPoolExecutor(min(len(rendered.files), MOST_WRITES_AT_ONCE)) as pool:
        return list(pool.map(write, rendered.files))


def object_name(source_sha256: str, file: RenderedFile) -> str:
    """Where a rendition is kept: below its source, named by its own content.

    No parameter or version is part of the name, so none can be forgotten: equal bytes share a file, and a newer
    encoder's bytes get a file beside the old one, which events already point to.
    """
    return f"images/{source_sha256[:2]}/{source_sha256}/{file.sha256}.{EXTENSIONS[file.format]}"
