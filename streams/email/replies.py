"""What an SMTP server answers: bytes into replies, and replies into what follows from them.

Computes only. RFC 5321, 4.2: the first digit decides; 2 and 3 are fine, 4 may be tried again, 5 is for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidemill.errors import HandlerError

MOST_REPLY_BYTES = 64 * 1024
GREYLISTING = frozenset({450, 451})
"""Replies of a server that wants to see the same mail again after some minutes (RFC 6647)."""
TOO_MANY_RECIPIENTS = 452
"""With other recipients accepted: the rest may come at once, in a mail of its own (RFC 5321, 4.5.3.1.10)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its code, and its text in one line."""

    code: int
    text: str

    @property
    def is_fine(self) -> bool:
        """Whether the command did what it should."""
        return 200 <= self.code < 400

    @property
    def is_final(self) -> bool:
        """Whether it is a refusal that trying again can't change."""
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that a server didn't take, with its reply."""

    address: str
    code: int
    text: str

    @property
    def is_final(self) -> bool:
        """Whether trying again can't change it."""
        return self.code >= 500


@dataclass(frozen=True, slots=True)
class Handover:
    """What a server made of one mail.

    Attributes:
        relay: The server, host:port.
        accepted: Recipients that it took the mail for.
        refused: Those that it didn't, for now or for good.
        answer: Its last word on the mail.
    """

    relay: str
    accepted: tuple[str, ...]
    refused: tuple[Refusal, ...]
    answer: str


@dataclass(slots=True)
class ReplyReader:
    """Bytes from a server in, whole replies out."""

    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def feed(self, data: bytes) -> list[Reply]:
        """Replies that these bytes complete.

        Args:
            data: As they came from the network, cut anywhere.

        Raises:
            HandlerError: They are no SMTP, or a reply doesn't end (retriable).
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        replies = []
        for line in lines:
            code, separator, text = line[:3], line[3:4], line[4:].decode("utf-8", "replace").strip()
            if not (code.isdigit() and b"200" <= code <= b"599") or separator not in (b" ", b"-", b"", b"\r"):
                raise _garbled(line)
            self._lines.append(text)
            if separator != b"-":
                replies.append(Reply(int(code), _one_line(self._lines)))
                self._lines = []
        if len(self._rest) + sum(map(len, self._lines)) > MOST_REPLY_BYTES:
            raise HandlerError(f"The server's reply has more than {MOST_REPLY_BYTES:,} bytes.", retriable=True)
        return replies


def _one_line(lines: list[str]) -> str:
    text = " ".join(line for line in lines if line)
    # It goes into events, logs and terminals.
    return "".join(char if char.isprintable() else "?" for char in text)[:1000]


def _garbled(line: bytes) -> HandlerError:
    return HandlerError(
        f"The server answers {line[:80]!r}, which is no SMTP: expected three digits and a text.",
        hint="Are TIDEMILL_EMAIL_HOST, _PORT and _SECURITY those of a mail server?",
        retriable=True,
    )


def as_json(handover: Handover) -> dict[str, Any]:
    """A handover as JSON, to be written down."""
    return {
        "relay": handover.relay,
        "accepted": list(handover.accepted),
        "refused": [[each.address, each.code, each.text] for each in handover.refused],
        "answer": handover.answer,
    }


def from_json(found: dict[str, Any]) -> Handover:
    """A handover that was written down."""
    refused = tuple(Refusal(*each) for each in found["refused"])
    return Handover(found["relay"], tuple(found["accepted"]), refused, found["answer"])
