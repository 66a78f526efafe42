"""A notice as a mail: what the e-mail stream is asked for."""

from __future__ import annotations

import json

from streams.notification.content import Content
from tidemill.events import EmailRequested


def email_request(content: Content, address: str, locale: str | None, template: str | None) -> EmailRequested:
    """The request for a mail that says a content.

    Args:
        content: What to say.
        address: To whom.
        locale: Their language and region.
        template: Template of the e-mail stream, which gets `title`, `body`, `url` and `notices`; None for plain text.
    """
    if template is None:
        notices = content.notices
        text = content.text if len(notices) == 1 else "\n\n".join(_paragraph(n.title, n.body, n.url) for n in notices)
        return EmailRequested(to=[address], subject=content.title, text=(text or content.title) + "\n", locale=locale)
    context = {
        "title": content.title,
        "body": content.body,
        "url": content.url,
        "notices": [
            {"title": notice.title, "body": notice.body, "url": notice.url, "time": notice.time}
            for notice in content.notices
        ],
    }
    return EmailRequested(to=[address], template=template, context=json.dumps(context), locale=locale)


def _paragraph(title: str, body: str, url: str | None) -> str:
    return "\n".join(part for part in (title, body, url) if part)
