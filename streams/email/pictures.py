"""Pictures inside mails: files of the templates' folder that an HTML body shows by `cid:` (RFC 2392).

Each becomes a part of the mail with a Content-ID made from its name, encoded once and kept until the file changes.
Must never read outside the folder, whatever a template's variable holds.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tidemill.errors import Reject
from tidemill.store.folder import Folder

MOST_BYTES = 1_000_000
_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,63}/){0,3}[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(?:png|jpe?g|gif|webp)")
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}


@dataclass(frozen=True)
class Picture:
    """One picture, ready to be a part of a mail: `encoded` is base64 with lines of 76 characters and CRLF."""

    path: str
    content_type: str
    data: bytes
    encoded: bytes


def content_id(path: str) -> str:
    """The Content-ID of a picture, without angle brackets.

    Raises:
        Reject: The path isn't one of a picture below the templates' folder.
    """
    # What a template passes may be anything, also what can't be a key of the cache.
    return _content_id(path if isinstance(path, str) else repr(path))


@lru_cache(maxsize=256)
def _content_id(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise Reject(
            f"image({path!r:.80}) in a template isn't a picture of the templates' folder.",
            hint="Write its path below the folder, e.g. image('images/logo.png'); .png, .jpg, .gif, .webp are shown.",
        )
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}@inline"


class Pictures:
    """Reads pictures below a folder, and keeps them until they change.

    Args:
        folder: The templates' folder.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.absolute()
        self._folder = Folder(self._root)
        self._kept: dict[str, tuple[object, Picture]] = {}

    def get(self, path: str) -> Picture:
        """One picture.

        Args:
            path: Below the folder, as `content_id` allows it.

        Raises:
            Reject: The path isn't one of a picture.
            StoreError: It isn't there, is a link, or has more than 1 MB.
        """
        content_id(path)
        key = tuple(path.split("/"))
        try:
            status = (self._root / path).stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            version = None  # Reading it tells what is wrong.
        kept = self._kept.get(path)
        if kept is None or kept[0] != version:
            data = self._folder.read(key, MOST_BYTES)
            encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
            kept = self._kept[path] = (version, Picture(path, _TYPES[path.rpartition(".")[2]], data, encoded))
        return kept[1]
