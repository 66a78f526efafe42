"""A notice as a mail: what the e-mail stream is asked for."""

from __future__ import annotations

import json

from streams.notification.content import ELLIPSIS, Content
from tidemill.events import EmailRequested

MAILED = 30
"""Notices that a mail shows when it stands for several; the rest are counted. More could be too long for a mail."""


def email_request(content: Content, address: str, locale: str | None, template: str | None) -> EmailRequested:
    """The request for a mail that says a content.

    Args:
        content: What to say.
        address: To whom.
        locale: Their language and region.
        template: Template of the e-mail stream, which gets `title`, `body`, `url`, `notices` and `more`,
            how many there are beside these; None for plain text.
    """
    shown, more = content.notices[:MAILED], max(0, len(content.notices) - MAILED)
    if template is None:
        paragraphs = [_paragraph(each.title, content.body_of(each), each.url) for each in shown]
        rest = [f"{ELLIPSIS} +{more}"] if more else []
        text = content.text if len(content.notices) == 1 else "\n\n".join([*paragraphs, *rest])
        return EmailRequested(to=[address], subject=content.title, text=(text or content.title) + "\n", locale=locale)
    context = {
        "title": content.title,
        "body": content.body,
        "url": content.url,
        "notices": [
            {"title": notice.title, "body": content.body_of(notice), "url": notice.url, "time": notice.time}
            for notice in shown
        ],
        "more": more,
    }
    return EmailRequested(
        to=[address], template=template, context=json.dumps(context, ensure_ascii=False), locale=locale
    )


def _paragraph(title: str, body: str, url: str | None) -> str:
    return "\n".join(part for part in (title, body, url) if part)
