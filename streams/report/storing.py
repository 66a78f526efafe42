"""A report's files into the object store, under names made from their content."""

from __future__ import annotations

import hashlib

from streams.report.making import CONTENT_TYPES, Made, MadeFile
from tidemill.events import ReportFile
from tidemill.store import Store


def store_files(made: Made, store: Store) -> list[ReportFile]:
    """Put all files of a report into the store; the same file again is written once.

    Args:
        made: The report.
        store: Where to.

    Raises:
        StoreError: A file can't be written (`retriable` says whether for now).
    """
    return [_stored(file, store) for file in made.files]


def object_name(sha256: str, file: MadeFile) -> str:
    """Where a file is kept; its last part is what a person saves it as."""
    return f"reports/{sha256[:2]}/{sha256}/{file.name}"


def _stored(file: MadeFile, store: Store) -> ReportFile:
    with file.path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    content_type = CONTENT_TYPES[file.format]
    written = store.put(object_name(sha256, file), file.path, content_type)
    return ReportFile(
        format=file.format,
        name=file.name,
        uri=written.uri,
        sha256=sha256,
        bytes=file.path.stat().st_size,
        content_type=content_type,
        pages=file.pages,
    )
