"""Mails taken apart: ordinary ones, and those that a mailbox for development gets to see."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest

from tidemill.mailbox.reading import MOST_PARTS, read_mail

HEAD = b"From: m@example.com\r\nMIME-Version: 1.0\r\n"


def whole() -> bytes:
    message = EmailMessage()
    message["From"] = "Jürgen Groß <j@example.com>"
    message["Subject"] = "Grüße aus Köln 🎉"
    message.set_content("Guten Tag,\n\nhier ist es.\n")
    message.add_alternative('<p>Guten Tag</p><img src="cid:logo@inline">', subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(b"\x89PNG", "image", "png", cid="<logo@inline>")  # type: ignore[union-attr]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Bericht März.pdf")
    return message.as_bytes()


def test_a_mail_has_words_text_html_its_picture_and_its_file() -> None:
    mail = read_mail(whole())
    assert mail.fault is None
    assert mail.field("From") == ""
    assert mail.field("from") == "Jürgen Groß <j@example.com>"
    assert mail.field("subject") == "Grüße aus Köln 🎉"
    assert mail.text == "Guten Tag,\n\nhier ist es.\n"
    assert mail.snippet == "Guten Tag, hier ist es."
    assert "cid:logo@inline" in (mail.html or "")
    assert [(part.name, part.content_type, part.data) for part in mail.attachments] == [
        ("Bericht März.pdf", "application/pdf", b"%PDF")
    ]
    assert [part.content_id for part in mail.parts] == ["logo@inline", None]


def test_of_html_alone_the_snippet_is_what_people_read() -> None:
    mail = read_mail(
        HEAD + b"Content-Type: text/html\r\n\r\n<style>p {color: red}</style><script>x()</script><p>Hi <b>Ada</b></p>"
    )
    assert mail.snippet == "Hi Ada"


def test_bytes_in_fields_are_taken_as_utf_8_and_unfolded() -> None:
    mail = read_mail("From: Jürgen <jürgen@exämple.de>\r\nSubject: one\r\n two\r\n\r\nx".encode())
    assert mail.field("from") == "Jürgen <jürgen@exämple.de>"
    assert mail.field("subject") == "one two"


@pytest.mark.parametrize("charset", ["nope", "idna", "punycode", "hex", "utf-7", "unicode_escape", "\xff", ""])
def test_a_charset_that_is_none_is_read_as_utf_8(charset: str) -> None:
    mail = read_mail(
        HEAD + b'Content-Type: text/plain; charset="' + charset.encode() + b'"\r\n\r\n' + "Grüße +AGE-\n".encode()
    )
    assert mail.text == "Grüße +AGE-\n"


@pytest.mark.parametrize("subject", ["=?nope?q?a=20b?=", "=?utf-8?b?%%%?=", "=?utf-8?q?=FF=FE?=", "=?", "=?idna?q?x?="])
def test_encoded_words_that_are_none_are_shown_as_far_as_they_can_be(subject: str) -> None:
    found = read_mail(HEAD + f"Subject: {subject}\r\n\r\nx".encode()).field("subject")
    assert found
    found.encode()


def test_broken_mime_is_told_and_nothing_is_lost() -> None:
    mail = read_mail(HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\nnothing of the kind\r\n')
    assert mail.fault is not None
    assert "start boundary not found" in mail.fault
    assert mail.parts[0].data == b"nothing of the kind\r\n"


@pytest.mark.parametrize("levels", [90, 5_000])
def test_parts_within_parts_within_parts_break_nothing(levels: int) -> None:
    data = HEAD + b"Subject: deep\r\n"
    for level in range(levels):
        data += b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level)
    mail = read_mail(data + b"\r\nhi\r\n")
    assert mail.field("subject") == "deep"
    assert mail.fault is not None


def test_of_thousands_of_parts_some_are_shown_quickly() -> None:
    part = b"--q\r\nContent-Type: application/x\r\n\r\nx\r\n"
    began = time.perf_counter()
    mail = read_mail(HEAD + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n" + part * 5_000 + b"--q--\r\n")
    assert len(mail.parts) == MOST_PARTS
    assert mail.fault == f"It has more than {MOST_PARTS} parts; the others are only in its source."
    assert time.perf_counter() - began < 5


def test_a_file_name_is_no_path() -> None:
    mail = read_mail(HEAD + b'Content-Type: application/x; name="../../etc/pass\\\\wd\x01"\r\n\r\nx')
    assert mail.parts[0].name == ".._.._etc_pass_wd_"


def test_a_mail_within_a_mail_is_a_file() -> None:
    inner = b"Subject: inner\r\n\r\nInside.\r\n"
    mail = read_mail(
        HEAD
        + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: message/rfc822\r\n\r\n"
        + inner
        + b"--q--"
    )
    (part,) = mail.attachments
    assert part.name == "message.eml"
    assert b"Inside." in part.data
    assert mail.text is None


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\r\n\r\n", bytes(range(256)) * 20, b":\r\n::\r\n \r\nx"])
def test_what_is_no_mail_at_all_is_shown_nevertheless(data: bytes) -> None:
    mail = read_mail(data)
    assert mail.field("subject") == ""
    mail.snippet.encode()
