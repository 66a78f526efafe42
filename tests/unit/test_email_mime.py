"""A mail's bytes, read back by the standard library: nothing is lost, nothing is added, every line is short."""

from __future__ import annotations

import random

import pytest

from streams.email.mime import AttachedFile
from tests.unit.email_samples import mail, read, request, templated
from tidemill.errors import Reject


def test_a_template_gives_text_html_and_its_picture_in_the_order_that_mail_programs_expect() -> None:
    message = read(mail(templated()).data)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    html, picture = (
        message.get_body(("html",)),
        next(part for part in message.walk() if part.get_content_type() == "image/png"),
    )
    assert html is not None
    assert f"cid:{picture['Content-ID'][1:-1]}" in html.get_content()
    assert picture.get_content().startswith(b"\x89PNG")
    text = message.get_body(("plain",))
    assert text is not None
    assert "Welcome, Ada!" in text.get_content()


def test_attachments_stand_beside_the_text() -> None:
    files = (
        AttachedFile("report.pdf", "application/pdf", b"%PDF" + bytes(1000)),
        AttachedFile("a b.csv", "text/csv", b"1;2\n"),
    )
    message = read(mail(templated(), *files).data)
    assert message.get_content_type() == "multipart/mixed"
    found = list(message.iter_attachments())
    assert [(each.get_filename(), each.get_content_type()) for each in found] == [
        ("report.pdf", "application/pdf"),
        ("a b.csv", "text/csv"),
    ]
    assert found[0].get_content() == files[0].data
    assert message.get_body(("html",)) is not None


@pytest.mark.parametrize(
    "name",
    ["Bericht für Zoë.pdf", "報告.pdf", 'a"b\\c.pdf', "semi;colon=1.pdf", "x" * 190 + ".pdf", "Zoë\u0301.pdf"],
)
def test_a_file_keeps_its_name(name: str) -> None:
    (found,) = read(mail(request(), AttachedFile(name, "application/pdf", b"x")).data).iter_attachments()
    assert found.get_filename() == name


def test_texts_of_any_kind_come_back_as_they_were() -> None:
    luck = random.Random(11)
    alphabet = "ab =.\t-_?é漢🙂\n\nFrom "
    for _ in range(300):
        text = "".join(luck.choice(alphabet) for _ in range(luck.randrange(1, 400)))
        message = read(mail(request(text=text, html=f"<p>{text}</p>")).data)
        body = message.get_body(("plain",))
        assert body is not None
        assert body.get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")


def test_lines_are_short_and_end_with_crlf_and_all_is_ascii() -> None:
    data = mail(
        templated(subject="é" * 500, to=["Zoë " * 20 + "<z@example.com>"] + [f"u{n}@example.com" for n in range(50)])
    ).data
    lines = data.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert data.isascii()


@pytest.mark.parametrize(
    "subject",
    ["Plain", "Grüße 🎉", "x" * 300, "=?utf-8?q?not_encoded?=", "two  spaces", 'a: b, "c" <d>', "ترحيب", "é" * 200],
)
def test_a_subject_comes_back_as_it_was(subject: str) -> None:
    assert read(mail(request(subject=subject)).data)["Subject"] == subject


def test_names_beside_addresses_come_back_as_they_were() -> None:
    names = ["Ada", "Lovelace, Ada", 'Ada "the first"', "Zoë Ünal", "漢字", "a\\b", "ada@other.example"]
    escaped = [name.replace("\\", "\\\\").replace('"', '\\"') for name in names]
    to = [f'"{name}" <u{number}@example.com>' for number, name in enumerate(escaped)]
    found = read(mail(request(to=to)).data)["To"].addresses
    assert [address.display_name for address in found] == names
    assert [address.addr_spec for address in found] == [f"u{number}@example.com" for number in range(len(names))]


def test_nobody_sees_who_gets_it_unseen() -> None:
    made = mail(request(to=[], bcc=["eve@example.com"]))
    assert made.recipients == ("eve@example.com",)
    assert b"eve@" not in made.data
    assert b"To: undisclosed-recipients:;\r\n" in made.data


def test_the_header_says_who_what_when_and_that_a_program_wrote_it() -> None:
    message = read(
        mail(
            request(
                cc=["Bob <bob@example.com>"],
                reply_to=["help@example.com"],
                headers={"X-Campaign": "spring"},
                list_unsubscribe="https://example.com/u/1",
            ),
            event_id="0191-e1",
        ).data
    )
    assert dict(message.items()) == {
        "From": "Tidemill <hello@example.com>",
        "To": "Ada <ada@example.com>",
        "Cc": "Bob <bob@example.com>",
        "Reply-To": "help@example.com",
        "Subject": "A note",
        "Date": "Tue, 24 Nov 2026 12:00:00 +0000",
        "Message-ID": "<0191-e1@example.com>",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": "<https://example.com/u/1>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Campaign": "spring",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    }


def test_who_unsubscribes_by_mail_is_promised_no_click() -> None:
    data = mail(request(list_unsubscribe="mailto:leave@example.com")).data
    assert b"List-Unsubscribe: <mailto:leave@example.com>\r\n" in data
    assert b"One-Click" not in data


def test_the_same_event_gives_the_same_bytes() -> None:
    assert mail(templated()).data == mail(templated()).data
    assert mail(templated()).data != mail(templated(), event_id="event-2").data


@pytest.mark.parametrize("event_id", ["<evil>\r\n@x", "a b", "é", "x" * 500, "job@2026-11-24T00:00:00Z"])
def test_an_id_that_cant_stand_in_a_message_id_becomes_a_digest(event_id: str) -> None:
    message_id = mail(event_id=event_id).message_id
    left, _, domain = message_id.partition("@")
    assert domain == "example.com"
    assert len(left) == 40
    assert left.isalnum()


def test_a_mail_over_the_limit_is_refused() -> None:
    with pytest.raises(Reject, match="at most 5,000 are sent"):
        mail(request(), AttachedFile("a", "text/plain", bytes(5000)), max_message_bytes=5000)


def test_letters_before_the_at_sign_make_a_mail_of_utf8() -> None:
    made = mail(request(to=["Zoë <zoë@example.com>"], subject="Grüße"))
    assert made.needs_smtputf8
    assert "To: Zoë <zoë@example.com>\r\n".encode() in made.data.replace(b'"', b"")
    assert "Subject: Grüße\r\n".encode() in made.data


def test_an_international_domain_is_written_in_ascii() -> None:
    made = mail(request(to=["ada@bücher.example"]))
    assert not made.needs_smtputf8
    assert made.recipients == ("ada@xn--bcher-kva.example",)
    assert made.data.isascii()


def test_a_mail_with_html_alone_gets_a_text() -> None:
    message = read(
        mail(request(text=None, html="<h1>Hello</h1><p>See <a href='https://a.example/x'>this</a>.</p>")).data
    )
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == "Hello\n\nSee this (https://a.example/x).\n"


def test_a_name_that_looks_encoded_isnt_decoded_by_whoever_reads_it() -> None:
    (found,) = read(mail(request(), AttachedFile("=?utf-8?q?evil?=.pdf", "text/plain", b"x")).data).iter_attachments()
    assert found.get_filename() == "= ?utf-8?q?evil?=.pdf"
    to = read(mail(request(to=["=?utf-8?q?Boss?= <ada@example.com>"])).data)["To"]
    assert to.addresses[0].display_name == "= ?utf-8?q?Boss?="
