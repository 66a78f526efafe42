"""A request for a notice, checked: what could hurt a receiver, or fit into no channel, is refused before anything else.

Computes only. All faults of a request come in one message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import urlsplit

from streams.notification.settings import DIGEST_NAME
from tidemill.errors import Reject
from tidemill.events import NotificationChannel, NotificationRequested

MOST_TITLE_CHARS = 200
MOST_BODY_CHARS = 20_000
MOST_URL_CHARS = 1_000
MOST_DATA_BYTES = 1_500
MOST_NAME_CHARS = 200

CHANNELS: tuple[NotificationChannel, ...] = get_args(NotificationChannel)
"""All there are, in the order in which they are tried where neither notice nor recipient says."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, Unicode's two line breaks, and halves of characters that can't be encoded."""
_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell somebody, safe to use.

    Attributes:
        id: Its event's.
        time: Its event's, ISO 8601.
        expires: After this it is of no use; seconds since 1970.
        recipient, title, body, url, data, urgency, channels, collapse_key, digest: As in `notification.requested`.
    """

    id: str
    time: str
    recipient: str
    title: str
    body: str
    url: str | None
    data: dict[str, str]
    urgency: str
    channels: list[str]
    collapse_key: str | None
    expires: float | None
    digest: str | None

    def is_expired(self, now: datetime) -> bool:
        """Whether it is of no use any more."""
        return self.expires is not None and self.expires <= now.timestamp()

    def to_json(self) -> str:
        """As text, for a table."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Notice:
        """From what `to_json` has made."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)


def check_request(request: NotificationRequested, *, event_id: str, time: datetime) -> Notice:
    """Check a request against every rule.

    Args:
        request: As it came.
        event_id: Its event's id.
        time: Its event's time.

    Raises:
        Reject: Something in it can't be; the message names every fault.
    """
    if faults := list(_faults(request)):
        raise Reject("The notice can't be sent: " + " ".join(faults))
    return Notice(
        id=event_id,
        time=time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        recipient=request.recipient,
        title=request.title.strip(),
        body=request.body.replace("\r\n", "\n").replace("\r", "\n").strip("\n"),
        url=request.url,
        data=dict(request.data),
        urgency=request.urgency,
        channels=list(dict.fromkeys(request.channels)),
        collapse_key=request.collapse_key,
        expires=request.expires.timestamp() if request.expires is not None else None,
        digest=request.digest,
    )


def is_name(text: str) -> bool:
    """Whether a text can name a recipient, a collapse key: a line of 1 to 200 characters."""
    return 0 < len(text) <= MOST_NAME_CHARS and CONTROL.search(text) is None


def shown(text: str) -> str:
    """A value as it goes into an error message: quoted, escaped, at most 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _faults(request: NotificationRequested) -> Iterator[str]:
    for what, name in (("recipient", request.recipient), ("collapse_key", request.collapse_key)):
        if name is not None and not is_name(name):
            yield f"{what} {shown(name)} isn't a single line of 1 to {MOST_NAME_CHARS} characters."
    if not request.title.strip():
        yield "title is empty."
    elif len(request.title) > MOST_TITLE_CHARS:
        yield f"title has {len(request.title):,} characters, at most {MOST_TITLE_CHARS} are allowed."
    elif found := CONTROL.search(request.title):
        yield f"title {shown(request.title)} holds the control character U+{ord(found[0]):04X}; expected a single line."
    if len(request.body) > MOST_BODY_CHARS:
        yield f"body has {len(request.body):,} characters, at most {MOST_BODY_CHARS:,} are allowed."
    elif found := _CONTROL_IN_TEXT.search(request.body):
        yield f"body holds the control character U+{ord(found[0]):04X}."
    if request.url is not None:
        yield from _url_faults(request.url)
    if request.digest is not None and not DIGEST_NAME.fullmatch(request.digest):
        yield f"digest {shown(request.digest)} isn't a name of at most 64 small letters, digits, dots, - and _."
    try:
        size = len(json.dumps(request.data, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        yield "data holds half of a character, which can't be encoded."
    else:
        if request.data and size > MOST_DATA_BYTES:
            yield f"data has {size:,} bytes as JSON, at most {MOST_DATA_BYTES:,} are allowed."


def _url_faults(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("https", "http") and bool(parts.hostname) and not re.search(r"[\s<>\"\\]", url)
    except ValueError:
        fits = False
    if not fits or CONTROL.search(url) or len(url) > MOST_URL_CHARS or not url.isascii():
        yield f"url {shown(url)} is no https:// or http:// address of at most {MOST_URL_CHARS} ASCII characters."
