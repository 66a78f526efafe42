"""The envelope that is written before a kept mail, and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes

from tidemill.mailbox.envelope import Envelope, enveloped, opened

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MAIL = b"From: a@example.com\r\nSubject: Hello\r\n\r\nHello.\r\n"


def test_a_kept_mail_is_an_ordinary_mail_that_knows_its_envelope() -> None:
    kept = enveloped(MAIL, "bounces@example.com", ["ada@example.com", "jürgen@exämple.de"], NOON)
    assert opened(kept) == (Envelope("bounces@example.com", ("ada@example.com", "jürgen@exämple.de")), MAIL)
    message = message_from_bytes(kept)
    assert message["Return-Path"] == "<bounces@example.com>"
    assert message["Subject"] == "Hello"


def test_a_bounce_has_an_empty_sender() -> None:
    assert opened(enveloped(MAIL, "", ["ada@example.com"], NOON))[0] == Envelope("", ("ada@example.com",))


def test_fields_of_the_mail_itself_are_not_taken_for_its_envelope() -> None:
    forged = b"Return-Path: <x@evil.example>\r\nDelivered-To: nobody@example.com\r\n" + MAIL
    assert opened(enveloped(forged, "a@example.com", ["b@example.com"], NOON)) == (
        Envelope("a@example.com", ("b@example.com",)),
        forged,
    )
    assert opened(forged) == (Envelope("", ()), forged)


def test_an_address_with_line_breaks_begins_no_field_of_its_own() -> None:
    envelope, mail = opened(enveloped(MAIL, "a\r\nSubject: x", ["b\nDelivered-To: c@example.com"], NOON))
    assert envelope == Envelope("a??Subject: x", ("b?Delivered-To: c@example.com",))
    assert mail == MAIL
