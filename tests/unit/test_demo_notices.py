"""The demo's receiver of webhooks checks what it gets, and the demo finds what isn't as it should be."""

from __future__ import annotations

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from examples.demo.notices import COMMENTS, ORDER, REPORT, WARNING, seen_by
from examples.demo.receiver import Receiver, running_receiver
from streams.notification.address import new_secret
from streams.notification.webhook import signed


def send(receiver: Receiver, path: str, title: str, *, id: str | None = None, secret: str | None = None) -> int:
    body = json.dumps({"data": {"title": title}}).encode()
    headers = signed(body, id or title, [secret or receiver.secret])
    try:
        with urlopen(Request(receiver.url + path, body, headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code


def test_a_demo_in_which_all_are_told_has_no_faults() -> None:
    with running_receiver() as receiver:
        assert [send(receiver, "/orders", title) for title in (ORDER, REPORT, f"{len(COMMENTS)} notices")] == [204] * 3
        assert send(receiver, "/moved", WARNING) == 410
        assert [*seen_by(receiver).faults()] == []


@pytest.mark.parametrize(
    ("title", "forged", "words"), [(ORDER, True, "no valid signature"), (ORDER, False, "came twice")]
)
def test_a_forged_or_a_doubled_webhook_is_a_fault(title: str, forged: bool, words: str) -> None:
    with running_receiver() as receiver:
        send(receiver, "/orders", title)
        assert send(receiver, "/orders", title, secret=new_secret() if forged else None) == (401 if forged else 204)
        faults = " ".join(seen_by(receiver).faults())
    assert words in faults
    assert "aren't all that were asked for" in faults
