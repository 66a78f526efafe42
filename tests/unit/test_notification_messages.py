"""Chat and SMS by Apprise, mail addresses, and several notices as one."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.notification.address import (
    email_address,
    service_address,
)
from streams.notification.answers import NotNow, Refused
from streams.notification.content import gather
from streams.notification.messenger import Messenger
from tests.unit.notification_receivers import Receiver, receiver
from tests.unit.notification_samples import content, notice, settings
from tidemill.errors import ConfigError, OutcomeUnknown

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()


@asynccontextmanager
async def chat(path: str = "/T0PSECRET") -> AsyncIterator[tuple[Receiver, Messenger, dict[str, Any]]]:
    """A service that Apprise speaks to, and its address."""
    async with receiver() as server:
        messenger = Messenger(5.0)
        url = f"json://user:T0PSECRET@127.0.0.1:{server.port}{path}"
        try:
            yield server, messenger, service_address("chat", url, settings(services="json")).secret
        finally:
            messenger.close()


async def test_a_chat_message_goes_by_apprise() -> None:
    async with chat() as (server, messenger, secret):
        server.rule = lambda request: 200
        await messenger.send(secret, content(notice(body="All 12 pages.", url="https://app.example/r/1")))
        (received,) = server.received
    found = json.loads(received.body)
    assert found["title"] == "Your report is ready"
    assert found["message"] == "All 12 pages.\n\nhttps://app.example/r/1"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (400, Refused, "JSON answers 400"),
        (403, Refused, "JSON answers 403"),
        (429, NotNow, "JSON answers 429"),
        (503, NotNow, "JSON answers 503"),
        ((302, {"Location": "http://127.0.0.1:1/private"}), NotNow, "JSON answers 302"),
    ],
)
async def test_what_a_service_answers_decides_and_its_log_and_address_go_nowhere(
    answer: Any,
    error: type[Exception],
    words: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    async with chat() as (server, messenger, secret):
        server.rule = lambda request: answer
        with pytest.raises(error, match=words) as caught:
            await messenger.send(secret, content())
        assert len(server.received) == 1
    output = capfd.readouterr()
    assert "T0PSECRET" not in str(caught.value) + caplog.text + output.out + output.err


async def test_a_service_that_cant_be_reached_leaves_it_open_whether_it_was_sent() -> None:
    async with chat() as (server, _, _):
        port = server.port
    messenger = Messenger(5.0)
    with pytest.raises(OutcomeUnknown, match="JSON can't be reached") as caught:
        await messenger.send({"url": f"json://user:T0PSECRET@127.0.0.1:{port}/"}, content())
    messenger.close()
    assert "T0PSECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["syslog://", "dbus://", "exec://x", "T0PSECRET", "json://chat.example", "", "slack://T0PSECRET"]
)
def test_a_service_that_isnt_allowed_or_understood_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        service_address("chat", url, settings())
    assert "T0PSECRET" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "ada", "ada@", "a@b\r\nBcc: c@d", "Ada <ada@x.example", "a b@x.example"])
def test_a_mail_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no mail address"):
        email_address(address)
    assert email_address("Ada Lovelace <ada@example.com>").secret == {"address": "Ada Lovelace <ada@example.com>"}


def test_several_notices_as_one_say_each_of_them() -> None:
    said = content(*(notice(f"n-{n}", title=f"Comment {n}", body=f"Line {n}\nmore") for n in range(3)))
    assert said.title == "3 notices"
    assert said.body == "• Comment 0: Line 0\n• Comment 1: Line 1\n• Comment 2: Line 2"
    many = content(*(notice(f"n-{n}", title=f"Comment {n}") for n in range(1000)))
    assert many.title == "1000 notices"
    assert many.body.splitlines()[-1] == "… +980"


def test_the_title_of_several_is_in_the_recipients_language() -> None:
    both = [notice("a"), notice("b")]
    titles = settings().titles
    for locale, title in (
        ("de", "2 Mitteilungen"),
        ("de-AT", "2 Mitteilungen"),
        ("xx", "2 notices"),
        (None, "2 notices"),
    ):
        assert gather("a", both, titles, locale).title == title
