"""Web Push, webhooks and services of Apprise, against receivers that look at what they get as the real ones do."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from py_vapid import Vapid
from standardwebhooks import Webhook, WebhookVerificationError

from streams.notification.address import (
    check_secret,
    new_secret,
    push_address,
    service_address,
    web_address,
    webhook_address,
)
from streams.notification.answers import Gone, NotNow, Refused
from streams.notification.content import push_payload
from streams.notification.outbound import Outbound
from streams.notification.web_push import WebPush, public_key, read_key
from streams.notification.webhook import send_webhook, signed
from tests.unit.notification_receivers import Received, Receiver, receiver
from tests.unit.notification_samples import LOCAL, Browser, content, notice, settings, vapid_key
from tidemill.errors import ConfigError

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()


@asynccontextmanager
async def push_service(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[Receiver, Browser, WebPush]]:
    """A push service, a browser that is subscribed there, and our side."""
    chosen = settings(vapid_key=vapid_key(tmp_path), **{**LOCAL, **more})
    async with receiver() as server:
        outbound = Outbound(chosen)
        try:
            yield server, Browser(f"{server.url}/send/secret-token"), WebPush(chosen, outbound)
        finally:
            await outbound.close()


def secret_of(browser: Browser) -> dict[str, Any]:
    return push_address(browser.subscription, settings(**LOCAL)).secret


async def test_a_push_message_can_be_read_by_its_browser_alone_and_is_signed_by_us(tmp_path: Path) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        said = content(notice(body="All 12 pages.", url="https://app.example/r/1", data={"report": "sales"}))
        await push.send(secret_of(browser), said)
        (received,) = server.received
    assert browser.read(received.body) == {
        "web_push": 8030,
        "notification": {
            "title": "Your report is ready",
            "body": "All 12 pages.",
            "navigate": "https://app.example/r/1",
            "tag": said.topic,
            "data": {"report": "sales", "id": "n-1"},
        },
    }
    assert b"report" not in received.body
    assert received.headers["content-encoding"] == "aes128gcm"
    assert received.headers["urgency"] == "normal"
    assert received.headers["ttl"] == str(28 * 86400)
    # The token is for this push service, names whom to write to, is for hours only, and bears our key's signature.
    authorization = received.headers["authorization"]
    assert Vapid.verify(authorization)
    token = authorization.partition("t=")[2].partition(",")[0]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["aud"] == server.url
    assert claims["sub"] == "mailto:ops@example.com"
    assert time.time() < claims["exp"] <= time.time() + 24 * 3600
    assert f"k={public_key(read_key(tmp_path / 'vapid.pem'))}" in authorization


async def test_a_repetition_and_a_newer_one_of_its_key_have_the_same_topic(tmp_path: Path) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        first = notice("a", collapse_key="order-1", urgency="high")
        newer = notice("b", collapse_key="order-1")
        for said in (content(first, id="a"), content(first, id="a"), content(newer, id="b"), content(notice("c"))):
            await push.send(secret_of(browser), said)
        topics = [each.headers["topic"] for each in server.received]
        assert topics[0] == topics[1] == topics[2] != topics[3]
        assert all(len(topic) == 32 for topic in topics)
        assert server.received[0].headers["urgency"] == "high"


async def test_what_expires_is_kept_by_the_push_service_only_so_long(tmp_path: Path) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        await push.send(secret_of(browser), content(notice(expires=datetime.now(UTC) + timedelta(seconds=90))))
        assert 85 <= int(server.received[0].headers["ttl"]) <= 90


async def test_a_long_body_is_shortened_to_what_a_push_service_takes(tmp_path: Path) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        long = notice(
            title="😀" * 200, body="ä😀\n" * 6000, data={"k": "v" * 1480}, url="https://x.example/" + "p" * 980
        )
        await push.send(secret_of(browser), content(long))
        (received,) = server.received
        assert len(received.body) <= 4096
        found = browser.read(received.body)["notification"]
        assert found["title"] == "😀" * 200
        assert found["data"] == {"k": "v" * 1480, "id": "n-1"}
        assert found["body"].endswith("…")


def test_a_shortened_body_is_as_long_as_fits() -> None:
    said = content(notice(body="ä" * 5000))
    assert 3990 <= len(push_payload(said, 3993)) <= 3993


async def test_a_service_that_takes_less_gets_less(tmp_path: Path) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        server.rule = lambda request: 413 if len(request.body) > 2048 else 201
        await push.send(secret_of(browser), content(notice(body="ä" * 5000)))
        assert [len(each.body) > 2048 for each in server.received] == [True, False]
        server.rule = lambda request: 413
        with pytest.raises(Refused, match="answers 413"):
            await push.send(secret_of(browser), content())


@pytest.mark.parametrize("status", [404, 410])
async def test_a_subscription_that_is_no_more_is_gone(tmp_path: Path, status: int) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        server.rule = lambda request: status
        with pytest.raises(Gone, match=f"answers {status}: the subscription is no more"):
            await push.send(secret_of(browser), content())


@pytest.mark.parametrize(
    ("status", "headers", "after_seconds"),
    [(429, {"Retry-After": "120"}, 120.0), (503, {}, None), (500, {"Retry-After": "x"}, None)],
)
async def test_a_push_service_that_is_busy_is_asked_again_when_it_says(
    tmp_path: Path, status: int, headers: dict[str, str], after_seconds: float | None
) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        server.rule = lambda request: (status, headers)
        with pytest.raises(NotNow, match=f"answers {status}") as caught:
            await push.send(secret_of(browser), content())
        assert caught.value.after_seconds == after_seconds
        assert "secret-token" not in str(caught.value)
        assert "stranger" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"), [(301, "where we don't follow"), (403, "another VAPID key"), (400, "answers 400")]
)
async def test_a_refusal_for_good_says_what_it_may_mean(tmp_path: Path, status: int, words: str) -> None:
    async with push_service(tmp_path) as (server, browser, push):
        server.rule = lambda request: (status, {"Location": f"{server.url}/else"})
        with pytest.raises(Refused, match=words) as caught:
            await push.send(secret_of(browser), content())
        assert "secret-token" not in str(caught.value)
        assert len(server.received) == 1


async def test_without_a_key_there_is_no_push_and_the_next_step_is_told(tmp_path: Path) -> None:
    outbound = Outbound(settings())
    push = WebPush(settings(), outbound)
    browser = Browser("https://push.example/send/1")
    with pytest.raises(ConfigError, match="tidemill notification keys"):
        await push.send(secret_of(browser), content())
    (tmp_path / "no.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for file in ("no.pem", "missing.pem"):
        with pytest.raises(ConfigError, match="can't be read"):
            read_key(tmp_path / file)


@pytest.mark.parametrize(
    "subscription",
    [
        "",
        "[]",
        "{}",
        '{"endpoint": 7, "keys": {"p256dh": "", "auth": ""}}',
        '{"endpoint": "https://push.example/", "keys": {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}}',
        "[" * 100_000,
    ],
)
def test_a_subscription_that_is_none_is_refused_with_its_form(subscription: str) -> None:
    with pytest.raises(ConfigError, match=r"JSON.stringify\(subscription\)"):
        push_address(subscription, settings())


@asynccontextmanager
async def hooks(**more: Any) -> AsyncIterator[tuple[Receiver, Outbound, dict[str, Any]]]:
    """A receiver of webhooks, our side, and the webhook's address."""
    chosen = settings(**{**LOCAL, **more})
    async with receiver() as server:
        outbound = Outbound(chosen)
        secret = webhook_address(f"{server.url}/hook/secret-token", WEBHOOK_SECRET, chosen).secret
        try:
            yield server, outbound, secret
        finally:
            await outbound.close()


def verified(received: Received, secret: str) -> Any:
    return Webhook(secret).verify(received.body, received.headers)


async def test_a_webhook_is_verified_by_the_standards_own_library() -> None:
    async with hooks() as (server, outbound, secret):
        said = content(notice(body="All 12 pages.", data={"report": "sales"}, collapse_key="r"))
        await send_webhook(secret, said, outbound)
        (received,) = server.received
    assert verified(received, WEBHOOK_SECRET) == {
        "type": "notification",
        "timestamp": "2026-11-24T12:00:00.000Z",
        "data": {
            "recipient": "u-1",
            "title": "Your report is ready",
            "body": "All 12 pages.",
            "notices": [
                {
                    "id": "n-1",
                    "time": "2026-11-24T12:00:00.000Z",
                    "title": "Your report is ready",
                    "body": "All 12 pages.",
                    "url": None,
                    "data": {"report": "sales"},
                    "urgency": "normal",
                    "collapse_key": "r",
                }
            ],
        },
    }
    with pytest.raises(WebhookVerificationError):
        verified(received, new_secret())


async def test_a_webhook_that_is_sent_again_has_the_same_id_and_body_and_a_new_time() -> None:
    said = content(id="order 17\r\nX-Evil: 1")
    async with hooks() as (server, outbound, secret):
        await send_webhook(secret, said, outbound)
        await send_webhook(secret, said, outbound)
        one, other = server.received
    assert one.headers["webhook-id"] == other.headers["webhook-id"]
    assert one.body == other.body
    assert len(one.headers["webhook-id"]) == 64
    assert "x-evil" not in one.headers
    assert content(id="n-1").plain_id == "n-1"


def test_while_a_secret_is_changed_both_the_old_and_the_new_one_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = signed(b'{"a":1}', "n-1", [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(b'{"a":1}', headers) == {"a": 1}
    assert headers["webhook-signature"].count("v1,") == 2


def test_a_signature_is_as_in_the_standards_example() -> None:
    headers = signed(
        b'{"test": 2432232314}',
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (410, Gone, "it wants no more"),
        ((302, {"Location": "http://10.0.0.1/"}), Refused, "where we don't follow"),
        (413, Refused, "bytes are too many"),
        ((429, {"Retry-After": "30"}), NotNow, "answers 429"),
        (404, NotNow, "answers 404"),
        (500, NotNow, "answers 500"),
    ],
)
async def test_what_a_receiver_of_webhooks_answers_decides_what_follows(
    answer: Any, error: type[Exception], words: str
) -> None:
    async with hooks() as (server, outbound, secret):
        server.rule = lambda request: answer
        with pytest.raises(error, match=words) as caught:
            await send_webhook(secret, content(), outbound)
        assert type(caught.value) is error
        assert "secret-token" not in str(caught.value)
        assert len(server.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/a",
        "ftp://hooks.example/a",
        "https://",
        "https:///a",
        "https://user:hunter2@hooks.example/",
        "https://hooks.example/a b",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example/\r\nX: 1",
        "https://hooks.example:99999/",
        "https://[::1/",
        "https://hüöks.example/",
        "https://hooks.example/" + "a" * 2000,
        "javascript:alert(1)",
    ],
)
def test_an_address_that_can_be_no_receiver_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        web_address(url, settings())
    assert "hunter2" not in str(caught.value)
    assert "hooks.example" not in str(caught.value)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "hunter2" * 9, "whsec_" + "!" * 44, "whsec_" + "A" * 200]
)
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigError, match="24 to 64 random bytes") as caught:
        check_secret(secret)
    assert "hunter2" not in str(caught.value)
    check_secret(new_secret())


def test_secrets_are_in_no_representation_of_an_address() -> None:
    local = settings(**LOCAL, services="json slack")
    for address in (
        webhook_address("https://hooks.example/T0PSECRET", None, local),
        push_address(Browser("https://push.example/T0PSECRET").subscription, local),
        service_address("chat", "json://user:T0PSECRET@chat.example/", local),
    ):
        assert "T0PSECRET" not in repr(address)
        assert "T0PSECRET" not in address.shown
