"""The notification stream on a real Kafka, with a receiver of webhooks: who is told, by which way, and how often."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.notification.address import email_address, webhook_address
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.handler import notification, notification_due, notifier_of
from streams.notification.settings import load_notification_settings
from tests.integration.working import events, prepare, until_there, working
from tests.unit.notification_receivers import receiver
from tests.unit.notification_samples import LOCAL
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, NotificationDue, NotificationRequested, NotificationSent
from tidemill.publisher import Publisher
from tidemill.topics import apply, house_topics

SENT = NotificationSent.__contract__.topic
SECRET = "whsec_" + "A" * 43 + "="


def ask(settings: Settings, *ids: str) -> None:
    request = NotificationRequested(recipient="u-1", title="Your report is ready", channels=["webhook", "email"])
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        for event_id in ids:
            publisher.publish(request, id=event_id)


async def test_a_refused_webhook_leads_to_a_mail_and_a_repeated_event_to_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(settings, NotificationRequested, NotificationSent, NotificationDue, EmailRequested)
    apply(settings, [], house=house_topics())
    for name, value in LOCAL.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"TIDEMILL_NOTIFICATION_{name.upper()}", text)
    monkeypatch.setenv("TIDEMILL_NOTIFICATION_DIRECTORY_URL", f"sqlite:///{tmp_path / 'directory.db'}")
    chosen = load_notification_settings()
    directory = Directory(Database(chosen, settings))
    directory.put(Recipient("u-1"))
    async with receiver() as server:
        directory.add("u-1", webhook_address(f"{server.url}/hook", SECRET, chosen))
        directory.add("u-1", email_address("ada@example.com"))
        async with working(settings, notification, notification_due):
            server.rule = lambda request: 204
            ask(settings, "first")
            await until_there(settings, SENT, 1)
            server.rule = lambda request: 410
            ask(settings, "second")
            await until_there(settings, SENT, 2)
            ask(settings, "first", "second")
            await until_there(settings, SENT, 4)
            await notifier_of(settings).aclose()
        assert len(server.at("/hook")) == 2
    told = {event.cause: event.payload for event in events(settings, NotificationSent)}
    assert (told["first"].channel, told["first"].outcome) == ("webhook", "sent")
    assert (told["second"].channel, told["second"].is_fallback) == ("email", True)
    mails = {event.id: event.payload for event in events(settings, EmailRequested)}
    (mail,) = mails.values()
    assert mail.to == ["ada@example.com"]
