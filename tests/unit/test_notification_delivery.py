"""From a notice to what became of it: the next channel, another try by the clock, order, giving up; never twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from streams.email.request import check_request as check_mail
from streams.email.settings import EmailSettings
from streams.notification.address import email_address, new_secret, push_address, webhook_address
from streams.notification.answers import MOST_WAIT_SECONDS
from streams.notification.directory import Recipient
from streams.notification.email_request import email_request
from streams.notification.notifier import Notifier
from streams.notification.retrying import RETRIES
from streams.notification.waiting import Leaving, Waiting
from tests.unit.notification_receivers import Receiver, receiver
from tests.unit.notification_samples import (
    LOCAL,
    NOON,
    Browser,
    content,
    core,
    due,
    notice,
    requested,
    settings,
    undone,
    vapid_key,
)
from tidemill.errors import Reject
from tidemill.events import EmailRequested, NotificationSent

SECRET = new_secret()


class Stream:
    """The stream without Kafka: a notifier whose clock stands where a test puts it."""

    def __init__(self, folder: Path, server: Receiver) -> None:
        self.now = NOON
        self.server = server
        self.settings = settings(**LOCAL, vapid_key=vapid_key(folder))
        self.notifier = Notifier(self.settings, core(folder), now=lambda: self.now)
        self.directory = self.notifier.directory
        self.directory.put(Recipient("u-1"))
        self.mails: list[EmailRequested] = []

    def webhook(self) -> str:
        """Give the recipient a webhook; returns its id."""
        return self.directory.add("u-1", webhook_address(f"{self.server.url}/hook", SECRET, self.settings)).id

    async def ask(self, id: str, **more: Any) -> tuple[list[NotificationSent], Waiting | None]:
        """Ask for a notice; returns what is told of it, and until when it waits."""
        accepted = await self.notifier.accept(requested(id, **more))
        return ([], accepted.later) if accepted.now is None else await self._send(accepted.now)

    async def wake(self, delivery: str, id: str, *, cause: str) -> tuple[list[NotificationSent], Waiting | None]:
        """Wake a delivery by an event that another one has led to."""
        found = await self.notifier.close(due(delivery, id, cause=cause))
        if isinstance(found, Leaving):
            return await self._send(found)
        return [], found

    async def _send(self, leaving: Leaving) -> tuple[list[NotificationSent], Waiting | None]:
        told, mails, waiting = await self.notifier.send("u-1", leaving, undone)
        self.mails += mails
        return told, waiting

    def said(self) -> list[str]:
        """The titles of all webhooks, each of which bears a valid signature."""
        calls = self.server.at("/hook")
        return [Webhook(SECRET).verify(call.body, call.headers)["data"]["title"] for call in calls]


@asynccontextmanager
async def streaming(folder: Path) -> AsyncIterator[Stream]:
    async with receiver() as server:
        found = Stream(folder, server)
        try:
            yield found
        finally:
            await found.notifier.aclose()


def until(waiting: Waiting | None) -> datetime:
    assert waiting is not None
    assert waiting.waits_for == "retry"
    assert waiting.wakes
    return waiting.until


async def test_a_receiver_that_is_down_is_asked_again_by_the_clock_with_the_same_id(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        address = stream.webhook()
        stream.server.rule = lambda request: 503 if request.number < 3 else 204
        (told,), first = await stream.ask("n-1")
        assert (told.outcome, told.waits_for, told.until) == ("waiting", "retry", until(first))
        assert [(each.address, each.result) for each in told.tried] == [(address, "refused")]
        assert NOON + timedelta(seconds=2.5) <= until(first) <= NOON + timedelta(seconds=5)
        stream.now = until(first)
        _, second = await stream.wake("n-1", "due-1", cause="n-1")
        assert stream.now + timedelta(seconds=10) <= until(second) <= stream.now + timedelta(seconds=20)
        stream.now = until(second)
        (told,), none = await stream.wake("n-1", "due-2", cause="due-1")
        assert (told.outcome, told.channel, none) == ("sent", "webhook", None)
        assert len({call.headers["webhook-id"] for call in stream.server.received}) == 1
        assert len(stream.server.received) == 3


@pytest.mark.parametrize(
    ("retry_after", "least", "most"), [("600", 600, 600), ("0", 2.5, 5), ("9999999", MOST_WAIT_SECONDS, 14_400)]
)
async def test_a_receiver_says_when_to_come_back_but_never_sooner_than_we_would(
    tmp_path: Path, retry_after: str, least: float, most: float
) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: (503, {"Retry-After": retry_after})
        _, waiting = await stream.ask("n-1")
        assert NOON + timedelta(seconds=least) <= until(waiting) <= NOON + timedelta(seconds=most)


async def test_a_run_after_one_that_was_killed_asks_nobody_again_and_says_the_same(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 503
        _, first = await stream.ask("n-1")
        for _ in range(2):
            assert await stream.ask("n-1") == ([], first)
        stream.now = until(first)
        _, second = await stream.wake("n-1", "due-1", cause="n-1")
        assert await stream.wake("n-1", "due-1", cause="n-1") == ([], second)
        # Others that may wake it: one that came twice under another id, one of long ago.
        assert await stream.wake("n-1", "due-1-again", cause="n-1") == ([], None)
        assert await stream.wake("n-1", "stray", cause="nothing") == ([], None)
        assert len(stream.server.received) == 2


async def test_notices_behind_one_that_is_tried_again_keep_their_order_and_urgent_ones_pass(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 503
        _, retry = await stream.ask("n-1", title="first")
        _, behind = await stream.ask("n-2", title="second")
        _, also = await stream.ask("n-3", title="third")
        assert until(behind) > until(retry)
        assert behind is not None
        assert also is not None
        assert (behind.delivery, also.delivery, also.wakes) == ("n-2", "n-2", False)
        stream.server.rule = lambda request: 204
        (told,), _ = await stream.ask("n-4", title="urgent", urgency="high")
        assert told.outcome == "sent"
        # The one behind is woken too early: the first one comes first.
        stream.now = until(retry)
        assert until((await stream.wake("n-2", "due-2", cause="n-2"))[1]) > stream.now
        await stream.wake("n-1", "due-1", cause="n-1")
        (told,), _ = await stream.wake("n-2", "due-3", cause="due-2")
        assert told.notices == ["n-2", "n-3"]
        assert stream.said() == ["first", "urgent", "first", "2 notices"]


async def test_a_retry_that_never_comes_holds_up_nobody_for_ever(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 503 if request.number == 1 else 204
        _, retry = await stream.ask("lost")
        _, behind = await stream.ask("n-2")
        stream.now = until(retry) + timedelta(minutes=6)
        assert behind is not None
        (told,), _ = await stream.wake("n-2", "due-2", cause="n-2")
        assert told.outcome == "sent"


async def test_after_a_day_it_is_given_up_with_what_each_address_said(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 503
        _, waiting = await stream.ask("n-1")
        for number in range(1, RETRIES.attempts - 1):
            stream.now = until(waiting)
            _, waiting = await stream.wake("n-1", f"due-{number}", cause=f"due-{number - 1}" if number > 1 else "n-1")
        stream.now = until(waiting)
        assert timedelta(hours=10) < stream.now - NOON < timedelta(hours=24)
        with pytest.raises(Reject, match=r"'u-1' wasn't reached.*answers 503.*Given up after 12 tries"):
            await stream.wake("n-1", "last", cause=f"due-{RETRIES.attempts - 2}")
        assert len(stream.server.received) == RETRIES.attempts


async def test_retries_heed_quiet_hours_and_what_expires_meanwhile_isnt_sent(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.directory.put(Recipient("u-1", quiet="12:00-14:00"))
        stream.now = NOON - timedelta(seconds=1)
        stream.server.rule = lambda request: 503
        _, waiting = await stream.ask("n-1", expires=NOON + timedelta(hours=1))
        assert until(waiting) == NOON + timedelta(hours=2)
        stream.now = until(waiting)
        (told,), _ = await stream.wake("n-1", "due-1", cause="n-1")
        assert told.outcome == "expired"
        assert len(stream.server.received) == 1


async def test_a_newer_notice_takes_the_place_of_one_that_is_tried_again(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 503 if request.number == 1 else 204
        _, retry = await stream.ask("n-1", collapse_key="order")
        accepted = await stream.notifier.accept(requested("n-2", collapse_key="order"))
        assert accepted.replaced == ["n-1"]
        stream.now = until(retry)
        assert await stream.wake("n-1", "due-1", cause="n-1") == ([], None)
        assert len(stream.server.received) == 1


async def test_a_subscription_that_is_gone_is_removed_and_the_next_channel_taken(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        browser = Browser(f"{stream.server.url}/push/secret-token")
        gone = stream.directory.add("u-1", push_address(browser.subscription, stream.settings)).id
        stream.directory.add("u-1", email_address("ada@example.com"))
        stream.server.rule = lambda request: 410
        (told,), _ = await stream.ask("n-1", channels=["push", "email"])
        assert (told.channel, told.is_fallback) == ("email", True)
        assert told.tried[0].reason.endswith("the subscription is no more; it is removed")
        (kept,) = [each for each in stream.directory.get("u-1")[1] if each.id == gone]
        assert (kept.state, kept.secret) == ("gone", {})
        (told,), _ = await stream.ask("n-2", channels=["push", "email"])
        assert told.tried[0].reason == "there is no address for it"
        assert len(stream.server.received) == 1
        assert [mail.to for mail in stream.mails] == [["ada@example.com"]] * 2


async def test_where_all_refuse_for_good_nothing_is_tried_again(tmp_path: Path) -> None:
    async with streaming(tmp_path) as stream:
        stream.webhook()
        stream.server.rule = lambda request: 410
        with pytest.raises(Reject, match=r"it wants no more; it is removed.*\. Mend the addresses"):
            await stream.ask("n-1")


def test_a_directory_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    import sqlite3

    from tests.unit.notification_samples import books

    books(tmp_path)
    with sqlite3.connect(tmp_path / "notifications.db") as connection:
        connection.execute("ALTER TABLE tidemill_notification_deliveries DROP COLUMN tries")
        connection.execute("UPDATE tidemill_notification_schema SET version = 1")
    connection.close()
    _, found = books(tmp_path)
    assert found.accept(notice(), NOON).now is not None


def test_a_mail_of_very_many_notices_is_one_that_the_e_mail_stream_takes() -> None:
    long = [
        notice(f"n-{n}", title="😀" * 200, body="😀\n" * 10_000, url="https://x.example/" + "p" * 980)
        for n in range(60)
    ]
    for template in (None, "notices"):
        mail = email_request(content(*long, id="d"), "ada@example.com", "de", template)
        check_mail(mail, EmailSettings())
    assert (email_request(content(*long, id="d"), "a@example.com", None, None).text or "").endswith("… +30\n")
