"""Attachments: bytes from the object store, checked against what the request says of them.

Blocking, since the store is; runs in a thread. Must never read more than a mail may hold.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Sequence
from urllib.parse import unquote

from streams.email.mime import AttachedFile
from tidemill.errors import ObjectTooLarge, Reject
from tidemill.events import Attachment
from tidemill.store import Store

_GENERAL = "application/octet-stream"


def read_attachments(asked: Sequence[Attachment], store: Store, max_bytes: int) -> list[AttachedFile]:
    """The files of a request.

    Args:
        asked: What the request names.
        store: Where they are.
        max_bytes: Most bytes of all together.

    Raises:
        Reject: They are larger together, or one has other bytes than it should.
        StoreError: One isn't there, or isn't where this worker may read; StoreUnavailable is tried again.
    """
    files: list[AttachedFile] = []
    left = max_bytes
    for each in asked:
        try:
            data = store.read(each.uri, left)
        except ObjectTooLarge as error:
            raise Reject(
                f"The attachments have more than {max_bytes:,} bytes together: {error.message}",
                hint="Put large files into the object store and send a link.",
            ) from error
        left -= len(data)
        if each.sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != each.sha256:
            raise Reject(f"The attachment {each.uri} has the SHA-256 {found}, expected {each.sha256}.")
        name = each.name or _last_part(each.uri)
        content_type = each.content_type or mimetypes.guess_type(name)[0] or _GENERAL
        files.append(AttachedFile(name, content_type.lower(), data))
    return files


def _last_part(uri: str) -> str:
    name = unquote(uri.rpartition("/")[2], errors="replace")
    return re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)[-200:] or "attachment"
