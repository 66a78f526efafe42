"""What a request may hold: every field that could hurt is looked at, and all faults come in one message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.email.request import check_request
from tests.unit.email_samples import request, settings, templated
from tidemill.errors import Reject
from tidemill.events import Attachment, EmailRequested


def refusal(asked: EmailRequested, **more: Any) -> str:
    with pytest.raises(Reject) as caught:
        check_request(asked, settings(**more))
    return str(caught.value)


def test_each_address_gets_the_mail_once_at_its_first_place() -> None:
    checked = check_request(
        request(
            to=["ada@example.com", "Ada@example.com"], cc=["ADA@EXAMPLE.COM", "bob@example.com"], bcc=["eve@a.example"]
        ),
        settings(),
    )
    assert [box.address for box in checked.recipients] == ["ada@example.com", "bob@example.com", "eve@a.example"]
    assert [box.address for box in checked.cc] == ["bob@example.com"]


@pytest.mark.parametrize(
    "field",
    [
        {"to": ["ada@example.com\r\nBcc: eve@example.com"]},
        {"cc": ["Ada\nBcc: eve@example.com <ada@example.com>"]},
        {"bcc": ["a\0@example.com"]},
        {"sender": "Boss\r\nX: y <boss@example.com>"},
        {"reply_to": ["a@example.com\n"]},
        {"headers": {"X-Campaign": "spring\r\nBcc: eve@example.com"}},
        {"headers": {"X-Campaign\r\nBcc": "eve@example.com"}},
        {"headers": {"X-Bad": "a\0b"}},
        {"headers": {"X Bad": "a"}},
        {"headers": {"X-Bad:": "a"}},
        {"headers": {"": "a"}},
        {"list_unsubscribe": "https://example.com/u\r\nBcc: eve@example.com"},
        {"attachments": [Attachment(uri="file:///a", name="a\r\nContent-Type: text/html")]},
        {"attachments": [Attachment(uri="file:///a", content_type="text/html\r\nX: y")]},
    ],
)
def test_no_field_can_begin_another_header(field: dict[str, Any]) -> None:
    assert "The mail can't be made" in refusal(request(**field))


@pytest.mark.parametrize(
    "name", ["From", "to", "BCC", "Subject", "Message-ID", "Content-Type", "DKIM-Signature", "Resent-To"]
)
def test_headers_that_the_stream_writes_cant_be_set(name: str) -> None:
    assert f"headers: {name} can't be set" in refusal(request(headers={name: "x"}))


@pytest.mark.parametrize(
    "name", ["../welcome", "a/b", "welcome.de", ".hidden", "_layout", "Welcome", "", "a" * 65, "a\0b", "{{ 7 * 7 }}"]
)
def test_a_templates_name_is_no_path(name: str) -> None:
    assert "is no name of one" in refusal(EmailRequested(to=["a@example.com"], template=name))


@pytest.mark.parametrize(
    ("address", "is_fine"),
    [
        ("https://example.com/u/1", True),
        ("mailto:leave@example.com", True),
        ("http://example.com/u/1", False),
        ("javascript:alert(1)", False),
        ("https://example.com/>,<https://evil.example/", False),
        ("https:///nowhere", False),
    ],
)
def test_people_unsubscribe_by_https_or_mail_only(address: str, is_fine: bool) -> None:
    if is_fine:
        assert check_request(request(list_unsubscribe=address), settings()).unsubscribe == address
    else:
        assert "is no https:// or mailto: address" in refusal(request(list_unsubscribe=address))


def test_all_faults_come_in_one_message() -> None:
    words = refusal(
        request(
            to=["ada"],
            cc=["bob@"],
            headers={"Bcc": "x"},
            locale="no such",
            attachments=[Attachment(uri="file:///a", name="../a", sha256="12")],
        )
    )
    for fault in ("'ada'", "'bob@'", "Bcc", "'no such'", "attachments[0].name", "attachments[0].sha256"):
        assert fault in words


def test_a_million_recipients_are_refused_before_any_is_looked_at() -> None:
    assert "1,000,001 recipients, expected 1 to 100" in refusal(request(to=["x"] * 1_000_000, cc=["y"]))
    assert "0 recipients" in refusal(request(to=[]))


def test_a_context_is_a_json_object_of_a_bounded_size() -> None:
    assert check_request(templated(context='{"name": "Ada"}'), settings()).context == {"name": "Ada"}
    assert "expected an object" in refusal(templated(context="[1]"))
    assert "is no JSON" in refusal(templated(context="{"))
    assert "is no JSON" in refusal(templated(context="[" * 100_000))
    assert "more than 1,000 bytes" in refusal(templated(context=json.dumps({"a": "x" * 1000})), max_context_bytes=1000)


def test_a_mail_is_a_template_or_a_subject_with_a_body_and_never_both() -> None:
    assert "neither a template nor a subject" in refusal(request(subject=None))
    assert "neither a template nor a subject" in refusal(request(text=None))
    assert "can't be given beside a template" in refusal(templated(text="x"))
    assert check_request(request(text=None, html="<p>Hello"), settings()).request.html == "<p>Hello"


def test_bodies_and_attachments_are_bounded() -> None:
    assert "at most 100 bytes" in refusal(request(text="x" * 101), max_body_bytes=100)
    assert "U+0000" in refusal(request(text="a\0b"))
    assert "21 attachments" in refusal(request(attachments=[Attachment(uri="file:///a")] * 21))
    assert "taken for a part of the mail" in refusal(
        request(attachments=[Attachment(uri="file:///a", content_type="message/rfc822")])
    )
