"""For the tests of the e-mail stream: settings, requests and mails that are as usual but for what a test says."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from streams.email.content import ContentMaker
from streams.email.message import Mail, compose
from streams.email.mime import AttachedFile
from streams.email.request import check_request
from streams.email.settings import EmailSettings, load_email_settings
from tidemill.events import EmailRequested

TEMPLATES = Path(__file__).parents[2] / "examples/email/templates"
NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def settings(**more: Any) -> EmailSettings:
    """Settings that don't depend on the environment of whoever runs the tests."""
    return load_email_settings(**{"templates": TEMPLATES, "sender": "Tidemill <hello@example.com>", **more})


def request(**more: Any) -> EmailRequested:
    """A request for a short mail."""
    usual: dict[str, Any] = {"to": ["Ada <ada@example.com>"], "subject": "A note", "text": "Short."}
    return EmailRequested(**{**usual, **more})


def templated(name: str = "welcome", **more: Any) -> EmailRequested:
    """A request for a template's mail, with its example as context."""
    context = (TEMPLATES / f"{name}.context.json").read_text(encoding="utf-8")
    return EmailRequested(**{"to": ["Ada <ada@example.com>"], "template": name, "context": context, **more})


def mail(
    asked: EmailRequested | None = None, *attachments: AttachedFile, event_id: str = "event-1", **more: Any
) -> Mail:
    """The mail of a request."""
    found = settings(**more)
    checked = check_request(asked or request(), found)
    content = ContentMaker(found).make(checked)
    return compose(checked, content, attachments, event_id=event_id, time=NOON, settings=found)


def read(data: bytes) -> EmailMessage:
    """A mail as the standard library reads it; fails where it finds a defect."""
    message = message_from_bytes(data, policy=policy.default)
    for part in message.walk():
        assert part.defects == []
        for name, value in part.items():
            assert value.defects == (), (name, value)
    return message
