"""What the list shows of each mail, read once per mail and kept while the mail is.

Large mails are read only as far as their beginning, so that a list of a thousand costs no more than its first sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from tidemill.mailbox.envelope import opened
from tidemill.mailbox.folder import MailFolder, received_at
from tidemill.mailbox.reading import read_mail

WHOLE_BYTES = 2_000_000
"""Of larger mails the attachments aren't counted."""


@dataclass(frozen=True)
class Summary:
    """A mail in a line.

    Attributes:
        id: Of the mail.
        received_at: When it came, UTC.
        sender, recipients: As SMTP was told.
        from_, to, subject: As the mail says.
        snippet: How it begins.
        attachments: How many; None where that isn't known.
        size_bytes: Of the mail as it came.
    """

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    from_: str
    to: str
    subject: str
    snippet: str
    attachments: int | None
    size_bytes: int

    def has(self, words: str) -> bool:
        """Whether each of some words is in its addresses, its subject, or its beginning."""
        said = " ".join((self.sender, *self.recipients, self.from_, self.to, self.subject, self.snippet)).casefold()
        return all(word in said for word in words.casefold().split())


def summary_of(id: str, data: bytes) -> Summary:
    """Put a mail in a line.

    Args:
        id: Of the mail.
        data: The mail with its envelope.
    """
    envelope, mail = opened(data)
    is_whole = len(mail) <= WHOLE_BYTES
    read = read_mail(mail if is_whole else mail[:WHOLE_BYTES])
    return Summary(
        id=id,
        received_at=received_at(id),
        sender=envelope.sender,
        recipients=envelope.recipients,
        from_=read.field("from"),
        to=read.field("to"),
        subject=read.field("subject"),
        snippet=read.snippet,
        attachments=len(read.attachments) if is_whole else None,
        size_bytes=len(mail),
    )


class Summaries:
    """The lines of a folder's mails.

    Args:
        folder: The mails.
    """

    def __init__(self, folder: MailFolder) -> None:
        self._folder = folder
        self._known: dict[str, Summary] = {}
        self._lock = Lock()

    def newest(self, first: int, count: int, words: str = "") -> tuple[list[Summary], int]:
        """Some of the mails, the newest first, and how many there are in all.

        Args:
            first: How many are left out at the beginning.
            count: At most so many.
            words: Only mails that have each of these; empty for all.
        """
        ids = self._folder.ids()
        with self._lock:
            for gone in self._known.keys() - set(ids):
                del self._known[gone]
        if not words:
            return self._summaries(ids[first : first + count]), len(ids)
        found = [summary for summary in self._summaries(ids) if summary.has(words)]
        return found[first : first + count], len(found)

    def _summaries(self, ids: list[str]) -> list[Summary]:
        found = []
        for id in ids:
            summary = self._known.get(id)
            if summary is None:
                data = self._folder.read(id)
                if data is None:
                    continue  # gone since the list was made
                summary = self._known[id] = summary_of(id, data)
            found.append(summary)
        return found
