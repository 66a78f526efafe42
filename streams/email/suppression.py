"""The suppression list: addresses that get no mail, because they bounced, complained or unsubscribed.

A text file with one address or one `@domain` a line; `#` begins a comment. It is read again when it changes. Must never
let a mail through because the list can't be read.
"""

from __future__ import annotations

from pathlib import Path

from tidemill.errors import ConfigError


class SuppressionList:
    """Who gets no mail.

    Args:
        file: The list; None suppresses nobody.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._version: tuple[int, int, int] | None = None
        self._entries: frozenset[str] = frozenset()

    def match(self, address: str) -> str | None:
        """The line that suppresses an address, in small letters; None where it may get mail.

        Args:
            address: `ada@example.com`, its domain in punycode.

        Raises:
            ConfigError: The file can't be read; trying again can help.
        """
        entries = self._current()
        folded = address.casefold()
        if folded in entries:
            return folded
        domain = "@" + folded.rpartition("@")[2]
        return domain if domain in entries else None

    def _current(self) -> frozenset[str]:
        if self._file is None:
            return self._entries
        try:
            status = self._file.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._version:
                lines = self._file.read_text(encoding="utf-8").splitlines()
                self._entries = frozenset(
                    entry for line in lines if (entry := line.partition("#")[0].strip().casefold())
                )
                self._version = version
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The suppression list {str(self._file)!r} can't be read: {error}.",
                hint="Mails wait until it can: without it they could go to people who don't want them.",
                retriable=True,
            ) from error
        return self._entries
