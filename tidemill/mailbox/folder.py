"""The mails as files: `<milliseconds>-<number>.eml`, the newest so many; older ones go when new ones come.

Used by the mail server's thread and those of the page at once. Must never open a path that a request names: a mail is
found by its id among those that are known.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from tidemill.mailbox.envelope import enveloped

MOST_MAILS = 1_000
MOST_BYTES = 500_000_000
_NAME = re.compile(r"(\d{13}-\d{6})\.eml")


class MailFolder:
    """The mails in a folder; makes it if missing, and goes on with what an earlier program left there.

    Args:
        folder: Where they are.
        most_mails: So many are kept.
        most_bytes: So much all of them take; the newest one stays, however large it is.
    """

    def __init__(self, folder: Path, *, most_mails: int = MOST_MAILS, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_mails = most_mails
        self._most_bytes = most_bytes
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob("*.eml.new"):
            half.unlink()
        found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())
        self._sizes = {path.stem: path.stat().st_size for path in sorted(found)}
        last = next(reversed(self._sizes), f"{0:013}-{0:06}")
        self._last_ms, self._number = int(last[:13]), int(last[14:])
        self._drop_oldest()

    def __len__(self) -> int:
        return len(self._sizes)

    def ids(self) -> list[str]:
        """All mails, the newest first."""
        with self._lock:
            return list(reversed(self._sizes))

    def add(self, sender: str, recipients: Sequence[str], data: bytes) -> str:
        """Keep a mail, and let the oldest go where there are too many.

        Args:
            sender: Of MAIL FROM.
            recipients: Of RCPT TO.
            data: The mail.

        Returns:
            Its id.

        Raises:
            OSError: It can't be written; nothing of it is left.
        """
        with self._lock:
            # A clock that was set back must not put new mails below old ones.
            now_ms = time.time_ns() // 1_000_000
            self._last_ms, self._number = (now_ms, 0) if now_ms > self._last_ms else (self._last_ms, self._number + 1)
            id = f"{self._last_ms:013}-{self._number:06}"
            whole = enveloped(data, sender, recipients, received_at(id))
            draft = self._folder / f"{id}.eml.new"
            try:
                draft.write_bytes(whole)
                draft.replace(self._path(id))
            except OSError:
                draft.unlink(missing_ok=True)
                raise
            self._sizes[id] = len(whole)
            self._drop_oldest()
        return id

    def read(self, id: str) -> bytes | None:
        """A mail with its envelope; None where there is none of this id (any more)."""
        if id not in self._sizes:
            return None
        try:
            return self._path(id).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, id: str) -> bool:
        """Let a mail go; False where there is none of this id."""
        with self._lock:
            if self._sizes.pop(id, None) is None:
                return False
            self._path(id).unlink(missing_ok=True)
            return True

    def _drop_oldest(self) -> None:
        total = sum(self._sizes.values())
        while len(self._sizes) > self._most_mails or (total > self._most_bytes and len(self._sizes) > 1):
            oldest = next(iter(self._sizes))
            total -= self._sizes.pop(oldest)
            self._path(oldest).unlink(missing_ok=True)

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.eml"


def received_at(id: str) -> datetime:
    """When a mail came, UTC."""
    return datetime.fromtimestamp(int(id[:13]) / 1000, UTC)
