"""The files that a job's results name, and how one of them is sent: the only way to an object by the gateway.

Only what lies in the store itself and is named by a result that a handler published: a client could publish a result of
its own, to be shown a file that it has only heard of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tidemill.errors import ForbiddenUri
from tidemill.jobs import JobStatus
from tidemill.store import Location, Store

MOST_FILES = 1_000
_MOST_DEPTH = 8
_INLINE = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/gif",
        "image/avif",
        "video/mp4",
        "video/webm",
    }
)
"""Shown in the page; everything else is to be saved."""
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ANYTHING = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class JobFile:
    """One file of a job."""

    number: int
    """Counted from 0 in the order of the results."""
    name: str | None
    """What the request called it."""
    uri: str
    media_type: str
    size_bytes: int | None
    sha256: str | None

    @property
    def is_shown(self) -> bool:
        """Whether a browser may show it, rather than save it."""
        return self.media_type in _INLINE

    @property
    def save_as(self) -> str:
        """A file name that is safe in a header and on every disk."""
        name = _UNSAFE.sub("-", self.name or "").strip("-.")[:80] or str(self.number)
        extension = self.uri.rpartition("/")[2].rpartition(".")[2]
        if not re.fullmatch(r"[A-Za-z0-9]{1,5}", extension) or name.lower().endswith(f".{extension.lower()}"):
            return name
        return f"{name}.{extension}"

    def as_json(self, job_path: str) -> dict[str, Any]:
        """As it is told with the job that has this path."""
        return {
            "name": self.name,
            "href": f"{job_path}/files/{self.number}",
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


def files_of(status: JobStatus, store: Store) -> list[JobFile]:
    """The files that a job's results name and that lie in the store, in their order; the first `MOST_FILES`.

    Args:
        status: The job.
        store: Where they must lie.
    """
    found: list[JobFile] = []
    for result in status.results:
        # The job's first event is its client's own words; only what came of it is a stream's.
        if result.id == status.id:
            continue
        for named in _named(result.payload, 0):
            if _in_store(named["uri"], store):
                found.append(_file(len(found), named))
            if len(found) == MOST_FILES:
                return found
    return found


def chosen(files: list[JobFile], which: str) -> JobFile | None:
    """The file that a path names: by its number, or by a name that only one file has."""
    if which.isascii() and which.isdigit():
        number = int(which[:9])
        return files[number] if number < len(files) else None
    named = [file for file in files if file.name == which]
    return named[0] if len(named) == 1 else None


def _named(data: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _MOST_DEPTH:
        return
    if isinstance(data, dict):
        if isinstance(data.get("uri"), str):
            yield data
        data = list(data.values())
    if isinstance(data, list):
        for each in data:
            yield from _named(each, depth + 1)


def _in_store(uri: str, store: Store) -> bool:
    try:
        place = Location.parse(uri)
    except ForbiddenUri:
        return False
    return place.within(store.home) and place != store.home


def _file(number: int, named: dict[str, Any]) -> JobFile:
    name, media_type = named.get("name"), named.get("content_type")
    size_bytes, sha256 = named.get("bytes"), named.get("sha256")
    return JobFile(
        number=number,
        name=name if isinstance(name, str) else None,
        uri=named["uri"],
        media_type=media_type if isinstance(media_type, str) and _MEDIA_TYPE.fullmatch(media_type) else _ANYTHING,
        size_bytes=size_bytes if isinstance(size_bytes, int) else None,
        sha256=sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None,
    )
