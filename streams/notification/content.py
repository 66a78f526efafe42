"""What is said to a recipient: one notice as it is, or several as one, whole or shortened to what a channel takes.

Computes only, and always the same from the same notices.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from streams.notification.request import Notice

LISTED = 20
"""Notices that a text lists when it stands for several; the rest are counted."""
GATHERED_BODY_CHARS = 1_000
"""Of the body of each of several notices in a webhook or a mail; one that goes alone has all of it."""
ELLIPSIS = "…"
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class Content:
    """What goes to a recipient.

    Attributes:
        id: The delivery's: the same in every try, so that receivers can tell a repetition.
        recipient: Whose it is.
        notices: What it says, in the order in which it came; at least one.
        title: Of one notice, or counting several.
        body: Of one notice, or a line for each.
    """

    id: str
    recipient: str
    notices: tuple[Notice, ...]
    title: str
    body: str

    @property
    def plain_id(self) -> str:
        """The id as receivers get it: itself, or a digest where it couldn't stand in a header."""
        return self.id if _PLAIN_ID.fullmatch(self.id) else hashlib.sha256(self.id.encode()).hexdigest()

    @property
    def topic(self) -> str:
        """What makes a push service and a browser keep only the newest (RFC 8030, 5.4: 32 characters of base64url).

        Of notices with one collapse key the newest; of a repetition, one.
        """
        name = f"collapse:{self.newest.collapse_key}" if self.newest.collapse_key else f"delivery:{self.id}"
        return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest())[:32].decode("ascii")

    @property
    def newest(self) -> Notice:
        """The notice that came last: its channels, address and urgency count for all."""
        return self.notices[-1]

    @property
    def url(self) -> str | None:
        """Where a click leads: to what all notices agree on."""
        urls = {notice.url for notice in self.notices}
        return urls.pop() if len(urls) == 1 else None

    @property
    def urgency(self) -> str:
        """The highest."""
        return max((notice.urgency for notice in self.notices), key=("low", "normal", "high").index)

    @property
    def expires(self) -> float | None:
        """When the last notice expires, seconds since 1970; None where one never does."""
        times = [notice.expires for notice in self.notices if notice.expires is not None]
        return max(times) if len(times) == len(self.notices) else None

    @property
    def text(self) -> str:
        """Body and address as one text."""
        return "\n\n".join(part for part in (self.body, self.url) if part)

    def body_of(self, notice: Notice) -> str:
        """A notice's body; among several its beginning, or two thousand of them would be too much for anybody."""
        return notice.body if len(self.notices) == 1 else shorten(notice.body, GATHERED_BODY_CHARS)


def gather(id: str, notices: list[Notice], titles: dict[str, str], locale: str | None) -> Content:
    """What several notices of a recipient say as one.

    Args:
        id: The delivery's.
        notices: At least one.
        titles: Title of several by language; the first is the default.
        locale: The recipient's.
    """
    if len(notices) == 1:
        (one,) = notices
        return Content(id, one.recipient, (one,), one.title, one.body)
    language = (locale or "").replace("_", "-").partition("-")[0].lower()
    pattern = titles.get(locale or "") or titles.get(language) or next(iter(titles.values()))
    lines = [f"• {notice.title}" + (f": {_first_line(notice.body)}" if notice.body else "") for notice in notices]
    if len(lines) > LISTED:
        lines[LISTED:] = [f"{ELLIPSIS} +{len(lines) - LISTED}"]
    title = pattern.replace("{count}", str(len(notices)))
    return Content(id, notices[-1].recipient, tuple(notices), title, "\n".join(lines))


def shorten(text: str, max_chars: int) -> str:
    """The beginning of a text, with an ellipsis where something is missing."""
    return text if len(text) <= max_chars else text[: max(max_chars - 1, 0)].rstrip() + ELLIPSIS


def push_payload(content: Content, max_bytes: int) -> bytes:
    """The message that a service worker gets: the arguments of `showNotification`, its body shortened to fit.

    With an address it is a Declarative Web Push message, too (WebKit: `web_push` is 8030, after the RFC).

    Args:
        content: What is said.
        max_bytes: Largest payload; room for all but the body is a matter of the request's limits.
    """
    low, high = 0, min(len(content.body), max_bytes)
    best = _push_json(content, 0)
    # Bytes per character differ, so the longest body that fits is searched for.
    while low <= high:
        middle = (low + high) // 2
        payload = _push_json(content, middle)
        if len(payload) <= max_bytes:
            best, low = payload, middle + 1
        else:
            high = middle - 1
    return best


def _push_json(content: Content, body_chars: int) -> bytes:
    options: dict[str, Any] = {"title": content.title}
    if body := shorten(content.body, body_chars):
        options["body"] = body
    if content.url:
        options["navigate"] = content.url
    # Of two with the same tag a browser shows the newer one.
    options["tag"] = content.topic
    if len(content.notices) == 1:
        options["data"] = {**content.newest.data, "id": content.plain_id}
    else:
        options["data"] = {"id": content.plain_id, "count": str(len(content.notices))}
    message: dict[str, Any] = {"web_push": 8030} if content.url else {}
    message["notification"] = options
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def webhook_payload(content: Content) -> bytes:
    """The body of a webhook: every notice, and with one all that it has; the same bytes in every try.

    Form: `type`, `timestamp` and `data`, as Standard Webhooks recommends.
    """
    notices = [
        {
            "id": notice.id,
            "time": notice.time,
            "title": notice.title,
            "body": content.body_of(notice),
            "url": notice.url,
            "data": notice.data,
            "urgency": notice.urgency,
            "collapse_key": notice.collapse_key,
        }
        for notice in content.notices
    ]
    data = {"recipient": content.recipient, "title": content.title, "body": content.body, "notices": notices}
    message = {"type": "notification", "timestamp": content.newest.time, "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _first_line(text: str) -> str:
    return shorten(text.partition("\n")[0], 120)
