"""The notification stream on a real Kafka, with a receiver of webhooks: who is told, by which way, and how often."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from standardwebhooks import Webhook

from streams.notification import retrying
from streams.notification.address import email_address, webhook_address
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.handler import notification, notification_due, notifier_of
from streams.notification.settings import NotificationSettings, load_notification_settings
from tests.integration.delays_running import committed_messages, scheduling
from tests.integration.worker_program import worker_process
from tests.integration.working import WAIT_SECONDS, events, prepare, until, until_there, working
from tests.unit.notification_receivers import Received, receiver
from tests.unit.notification_samples import LOCAL
from tidemill import broker, delayed
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import EmailRequested, NotificationDue, NotificationRequested, NotificationSent
from tidemill.publisher import Publisher
from tidemill.runtime.retry import Retry
from tidemill.topics import apply
from tidemill.topics.house import DELAYED

SENT = NotificationSent.__contract__.topic
DUE = NotificationDue.__contract__.topic
SECRET = "whsec_" + "A" * 43 + "="


@pytest.fixture
def chosen(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotificationSettings:
    """The stream's topics, and settings by which receivers may be on this machine; programs get the same."""
    prepare(settings, NotificationRequested, NotificationSent, NotificationDue, EmailRequested)
    apply(settings, [], house=[DELAYED])
    given = {**LOCAL, "digest_minutes": {"comments": 1 / 60}}
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"TIDEMILL_NOTIFICATION_{name.upper()}", text)
    monkeypatch.setenv("TIDEMILL_NOTIFICATION_DIRECTORY_URL", f"sqlite:///{tmp_path / 'directory.db'}")
    return load_notification_settings()


def ask(settings: Settings, **requests: dict[str, Any]) -> None:
    """Ask for notices, by the ids of their events."""
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        for event_id, fields in requests.items():
            request = NotificationRequested(**{"recipient": "u-1", "title": event_id, **fields})
            publisher.publish(request, id=event_id)


def waiting(settings: Settings) -> list[Message]:
    """The wake-ups on schedule.delayed, the latest of each id."""
    found = {message.key(): message for message in committed_messages(settings, delayed.TOPIC)}
    return [message for message in found.values() if message.value() is not None]


def dispatch(settings: Settings, *parcels: Message) -> None:
    """Do what the scheduler does with wake-ups that are due."""
    producer = Producer(broker.client_config(settings))
    for message in parcels:
        headers: Any = message.headers()
        parcel = delayed.unpacked(headers)
        producer.produce(parcel.topic, message.value(), parcel.key, headers=list(parcel.headers))
    assert producer.flush(WAIT_SECONDS) == 0


def titles(call: Received) -> list[str]:
    """What a webhook says, notice by notice; its signature is checked."""
    said = Webhook(SECRET).verify(call.body, call.headers)
    return [each["title"] for each in said["data"]["notices"]]


def told(settings: Settings, outcome: str) -> list[list[str]]:
    """Which notices have come to this, those that went as one together; what was told twice counts once."""
    found = {event.id: event.payload for event in events(settings, NotificationSent)}
    return sorted(payload.notices for payload in found.values() if payload.outcome == outcome)


async def test_a_refused_webhook_leads_to_a_mail_and_a_repeated_event_to_nothing(
    settings: Settings, chosen: NotificationSettings
) -> None:
    directory = Directory(Database(chosen, settings))
    directory.put(Recipient("u-1", channels=("webhook", "email")))
    async with receiver() as server:
        directory.add("u-1", webhook_address(f"{server.url}/hook", SECRET, chosen))
        directory.add("u-1", email_address("ada@example.com"))
        async with working(settings, notification, notification_due):
            server.rule = lambda request: 204
            ask(settings, first={})
            await until_there(settings, SENT, 1)
            server.rule = lambda request: 410
            ask(settings, second={})
            await until_there(settings, SENT, 2)
            ask(settings, first={}, second={})
            await until_there(settings, SENT, 4)
            await notifier_of(settings).aclose()
        assert len(server.at("/hook")) == 2
    found = {event.cause: event.payload for event in events(settings, NotificationSent)}
    assert (found["first"].channel, found["first"].outcome) == ("webhook", "sent")
    assert (found["second"].channel, found["second"].is_fallback) == ("email", True)
    mails = {event.id: event.payload for event in events(settings, EmailRequested)}
    (mail,) = mails.values()
    assert mail.to == ["ada@example.com"]


def work(settings: Settings, folder: Path) -> Any:
    """A worker as a process, whose effects under way count as lost two seconds after it is killed."""
    return worker_process(settings, folder, "notification", "notification_due", TIDEMILL_EFFECTS_LEASE_SECONDS="2")


def quiet_now() -> str:
    """Quiet hours that have begun, and end within minutes: so near that their end counts as come."""
    now = datetime.now(UTC)
    return f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(minutes=3):%H:%M}"


async def test_what_waits_survives_its_worker_and_each_notice_is_told_once(
    settings: Settings, chosen: NotificationSettings, tmp_path: Path
) -> None:
    """Killed with a webhook under way, when digest, rate and quiet hours have put notices off; wake-ups come twice."""
    directory = Directory(Database(chosen, settings))
    async with receiver() as server:
        server.rule = lambda request: 204
        for recipient in (Recipient("u-1"), Recipient("u-2", rate_per_hour=1), Recipient("u-3", quiet=quiet_now())):
            directory.put(recipient)
            directory.add(recipient.id, webhook_address(f"{server.url}/{recipient.id}", SECRET, chosen))
        ask(
            settings,
            **{f"digest-{n}": {"digest": "slow"} for n in range(3)},
            **{f"rate-{n}": {"recipient": "u-2"} for n in range(3)},
            quiet={"recipient": "u-3"},
            urgent={"recipient": "u-3", "urgency": "high"},
        )
        with work(settings, tmp_path) as first:
            await until_there(settings, SENT, 8)
            parcels = waiting(settings)
            assert len(parcels) == 3

            def killed_meanwhile(request: Received) -> int:
                first.process.kill()
                return 204

            server.rule = killed_meanwhile
            dispatch(settings, *parcels, *parcels)
            await until(lambda: first.process.poll() is not None, "the worker is killed")
        server.rule = lambda request: 204
        with work(settings, tmp_path):
            await until(lambda: len({call.headers["webhook-id"] for call in server.received}) == 5, "all are told")
            await until_there(settings, SENT, 11)
    assert told(settings, "sent") == [
        ["digest-0", "digest-1", "digest-2"],
        ["quiet"],
        ["rate-0"],
        ["rate-1", "rate-2"],
        ["urgent"],
    ]
    assert len(told(settings, "waiting")) == 6
    # Nobody knows whether those under way have arrived: they come again, and by its id a receiver drops each.
    calls = {call.headers["webhook-id"]: titles(call) for call in server.received}
    assert sorted(calls.values()) == told(settings, "sent")
    assert len(server.received) <= len(calls) + len(parcels)


async def test_the_clock_lets_a_digest_go_and_comes_back_to_a_receiver_that_was_down(
    settings: Settings, chosen: NotificationSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "RETRIES", Retry(attempts=3, first=0.3))
    directory = Directory(Database(chosen, settings))
    directory.put(Recipient("u-1"))
    async with receiver() as server:
        directory.add("u-1", webhook_address(f"{server.url}/hook", SECRET, chosen))
        server.rule = lambda request: 503 if request.number == 1 else 204
        with scheduling(settings):
            async with working(settings, notification, notification_due):
                ask(settings, **{f"c-{n}": {"digest": "comments"} for n in range(3)})
                await until(lambda: len(server.received) == 2, "the receiver is asked again")
                await until_there(settings, SENT, 5)
                await notifier_of(settings).aclose()
    assert [titles(call) for call in server.received] == [["c-0", "c-1", "c-2"]] * 2
    assert len({call.headers["webhook-id"] for call in server.received}) == 1
    assert told(settings, "sent") == [["c-0", "c-1", "c-2"]]
    (retry,) = [event.payload for event in events(settings, NotificationSent) if event.payload.waits_for == "retry"]
    assert retry.tried[0].reason.endswith("answers 503")
