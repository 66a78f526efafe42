"""The mailbox's page and JSON: what a browser and a program get, and what a mail can't do there."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tidemill.mailbox.folder import MailFolder
from tidemill.mailbox.web import Answer, Site, Web

EVIL = """<html><head><title>x</title></head><body onload="alert(1)"><script>alert(2)</script>
<img src="https://evil.example/pixel.png"><a href="https://app.example.com/confirm">confirm</a></body></html>"""


@pytest.fixture
def mails(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path)


@pytest.fixture
def site(mails: MailFolder) -> Site:
    return Site(mails, "127.0.0.1:1025")


def keep(mails: MailFolder, subject: str = "Hello", *, html: str | None = None, to: str = "ada@example.com") -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Tidemill <hello@example.com>", to, subject
    message.set_content(f"The text of {subject}.\n")
    if html is not None:
        message.add_alternative(html, subtype="html")
    return mails.add("hello@example.com", [to, "hidden@example.com"], message.as_bytes())


def page(answer: Answer) -> str:
    assert answer.status == HTTPStatus.OK
    return answer.body.decode()


def listed(answer: Answer) -> dict[str, Any]:
    assert answer.content_type == "application/json"
    content: dict[str, Any] = json.loads(answer.body)
    return content


def test_an_empty_mailbox_says_where_to_send_a_mail_to(site: Site) -> None:
    found = page(site.answer("GET", "/"))
    assert "No mail yet" in found
    assert "127.0.0.1:1025" in found


def test_the_list_shows_the_newest_first_with_its_beginning(site: Site, mails: MailFolder) -> None:
    for subject in ("first", "second"):
        keep(mails, subject)
    found = page(site.answer("GET", "/"))
    assert found.index("second") < found.index("first")
    assert "The text of second." in found
    assert "2 mails" in found


def test_a_thousand_mails_come_in_pages(site: Site, mails: MailFolder) -> None:
    for number in range(120):
        keep(mails, f"mail-{number:03}")
    assert len(re.findall(r"mail-\d{3}</b>", page(site.answer("GET", "/")))) == 50
    last = page(site.answer("GET", "/?page=3"))
    assert "mail-000</b>" in last
    assert "page 3 of 3" in last
    assert "older →" not in last
    for odd in ("/?page=0", "/?page=-1", "/?page=x", "/?page=99999999999", "/?page=" + "9" * 5_000):
        page(site.answer("GET", odd))


def test_mails_are_found_by_their_words_and_addresses(site: Site, mails: MailFolder) -> None:
    keep(mails, "invoice 17")
    keep(mails, "welcome", to="grace@example.com")
    assert listed(site.answer("GET", "/api/mails?find=GRACE%20welcome"))["total"] == 1
    assert "invoice 17" not in page(site.answer("GET", "/?find=welcome"))
    assert "No mail has “nothing”" in page(site.answer("GET", "/?find=nothing"))


def test_a_program_reads_a_mail_as_json(site: Site, mails: MailFolder) -> None:
    id = keep(mails, "Grüße", html="<p>Hi</p>")
    (found,) = listed(site.answer("GET", "/api/mails"))["mails"]
    assert (found["id"], found["subject"], found["to"]) == (id, "Grüße", "ada@example.com")
    assert found["envelope"] == {
        "sender": "hello@example.com",
        "recipients": ["ada@example.com", "hidden@example.com"],
    }
    whole = listed(site.answer("GET", f"/api/mails/{id}"))
    assert whole["text"] == "The text of Grüße.\n"
    assert whole["html"] == "<p>Hi</p>\n"
    assert ["Subject", "Grüße"] in whole["headers"]


@pytest.mark.parametrize(
    ("view", "shown"),
    [("html", "<iframe"), ("phone", 'class="phone"'), ("text", "The text of"), ("headers", "MIME-Version")],
)
def test_a_mail_is_shown_in_each_view(site: Site, mails: MailFolder, view: str, shown: str) -> None:
    id = keep(mails, html="<p>Hi</p>")
    assert shown in page(site.answer("GET", f"/mails/{id}?view={view}"))


def test_who_got_it_without_being_named_is_shown(site: Site, mails: MailFolder) -> None:
    assert "<dt>Bcc</dt><dd>hidden@example.com</dd>" in page(site.answer("GET", f"/mails/{keep(mails)}"))


def test_a_mails_html_can_run_nothing_and_load_nothing(site: Site, mails: MailFolder) -> None:
    id = keep(mails, "<script>alert(0)</script>", html=EVIL)
    frame = page(site.answer("GET", f"/mails/{id}"))
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in frame
    for outside in (frame, page(site.answer("GET", "/"))):
        assert "<script>alert" not in outside
        assert "&lt;script&gt;alert(0)" in outside
    inside = site.answer("GET", f"/mails/{id}/html")
    directives = dict(each.strip().partition(" ")[::2] for each in inside.policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    assert "script-src" not in directives
    assert "allow-scripts" not in directives["sandbox"]
    assert "allow-same-origin" not in directives["sandbox"]


def test_a_link_in_a_mail_opens_a_page_of_its_own(site: Site, mails: MailFolder) -> None:
    inside = page(site.answer("GET", f"/mails/{keep(mails, html=EVIL)}/html"))
    assert '<head><base target="_blank"><title>' in inside


def test_a_picture_within_a_mail_is_put_into_its_html(site: Site, mails: MailFolder) -> None:
    message = EmailMessage()
    message["Subject"] = "picture"
    message.set_content("x")
    message.add_alternative('<img src="cid:logo@inline"><img src="cid:other@inline">', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo@inline>")  # type: ignore[index,union-attr]
    id = mails.add("a@example.com", ["b@example.com"], message.as_bytes())
    inside = page(site.answer("GET", f"/mails/{id}/html"))
    assert 'src="data:image/png;base64,iVBORw=="' in inside
    assert 'src="cid:other@inline"' in inside


def test_files_are_only_ever_downloaded(site: Site, mails: MailFolder) -> None:
    message = EmailMessage()
    message.set_content("x")
    message.add_attachment("<script>alert(1)</script>", subtype="html", filename='Bericht "März".html')
    id = mails.add("a@example.com", ["b@example.com"], message.as_bytes())
    found = site.answer("GET", f"/mails/{id}/parts/0/x.html")
    assert found.content_type == "application/octet-stream"
    assert found.more["Content-Disposition"] == "attachment; filename*=UTF-8''Bericht%20%22M%C3%A4rz%22.html"
    assert found.body == b"<script>alert(1)</script>\n"
    source = site.answer("GET", f"/mails/{id}/source")
    assert source.body == message.as_bytes()
    assert source.more["Content-Disposition"].startswith("attachment")
    assert site.answer("GET", f"/mails/{id}/parts/7").status == HTTPStatus.NOT_FOUND


def test_mails_go_when_they_are_deleted(site: Site, mails: MailFolder) -> None:
    one, two, _three = keep(mails), keep(mails), keep(mails)
    assert site.answer("DELETE", f"/api/mails/{one}").status == HTTPStatus.NO_CONTENT
    assert site.answer("POST", f"/mails/{two}/delete").status == HTTPStatus.SEE_OTHER
    assert site.answer("GET", f"/mails/{two}/delete").status == HTTPStatus.NOT_FOUND
    assert listed(site.answer("GET", "/api/mails"))["total"] == 1
    assert site.answer("DELETE", "/api/mails").status == HTTPStatus.NO_CONTENT
    assert mails.ids() == []


@pytest.mark.parametrize("target", ["/nothing", "/mails/..%2f..%2fetc", "/mails/1/source", "/style.css/../x", "//x/y"])
def test_what_isnt_there_is_said_to_be_missing(site: Site, target: str) -> None:
    assert site.answer("GET", target).status == HTTPStatus.NOT_FOUND


@pytest.fixture
def web(site: Site) -> Iterator[Web]:
    web = Web("127.0.0.1", 0, site.answer)
    thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    web.shutdown()
    web.server_close()
    thread.join(10)


def asked(web: Web, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8025", "[::1]:8025"])
def test_this_machine_is_answered(web: Web, host: str) -> None:
    answer = asked(web, "GET", "/", {"Host": host})
    assert answer.status == 200
    assert "script-src 'self'" in (answer.headers["Content-Security-Policy"] or "")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example:8025", "127.0.0.1.evil.example", "", "[", "127.0.0.1@evil.example"])
def test_another_name_for_this_machine_is_not_answered(web: Web, mails: MailFolder, host: str) -> None:
    keep(mails, "secret link")
    assert asked(web, "GET", "/api/mails", {"Host": host}).status == 421


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://evil.example:8025"])
def test_another_site_deletes_nothing(web: Web, mails: MailFolder, origin: str) -> None:
    keep(mails)
    assert asked(web, "POST", "/delete", {"Origin": origin}).status == 403
    assert len(mails) == 1
    assert asked(web, "POST", "/delete", {"Origin": f"http://127.0.0.1:{web.port}"}).status == 303
    assert len(mails) == 0
