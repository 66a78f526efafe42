"""Requests and answers as records: what is written is what is read, and hostile bytes are an error, not a crash."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.delays.requests import (
    Answer,
    Wish,
    answer_headers,
    is_request,
    outcome_headers,
    read_answer,
    read_outcome,
    read_request,
    request_record,
)
from tidemill.errors import DecodeError

NOON = datetime(2026, 11, 24, 12, 0, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize("wish", list(Wish))
def test_a_request_is_read_as_it_was_written(wish: Wish) -> None:
    key, value, headers = request_record(wish, "bestellung-ü-1", "ann@host", NOON)
    request = read_request(key, value, dict(headers))
    assert (request.key, request.wish, request.by) == (key, wish, "ann@host")
    assert request.event_id == "bestellung-ü-1".encode()
    assert is_request(key)


def test_two_requests_for_one_event_are_two_records() -> None:
    first, second = (request_record(Wish.CANCEL, "x", "ann", NOON)[0] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("event_id", [b"request", b"request-1", b"", b"0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f"])
def test_no_id_that_can_be_published_is_taken_for_a_request(event_id: bytes) -> None:
    assert not is_request(event_id)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"id": "x"}',
        b"\xff",
        b"[" * 100_000,
        b'{"id": "\\ud800", "by": "b"}',
        b"1" * 5_000,
    ],
)
def test_a_request_that_cannot_be_read_says_why(value: bytes) -> None:
    with pytest.raises(DecodeError, match=r"A request on schedule\.delayed can't be read"):
        read_request(b"request\0x", value, {"tm_request": b"cancel"})


@pytest.mark.parametrize("wish", [None, b"", b"explode", b"\xff"])
def test_a_wish_that_nobody_knows_is_refused(wish: bytes | None) -> None:
    with pytest.raises(DecodeError, match="can't be read"):
        read_request(b"request\0x", b'{"id": "x", "by": "b"}', {"tm_request": wish})


def test_an_answer_tells_its_reason_shortened_where_it_is_long() -> None:
    assert read_answer(dict(answer_headers(Answer.ABSENT, "me", NOON))) == (Answer.ABSENT, "")
    found = read_answer(dict(answer_headers(Answer.REFUSED, "me", NOON, "because " * 1000)))
    assert found is not None
    assert found[1].startswith("because because")
    assert len(found[1]) == 500


def test_an_end_tells_when_by_whom_and_where_to() -> None:
    outcome = read_outcome(dict(outcome_headers(Answer.DISPATCHED, "me", NOON, "ns.topic")))
    assert outcome is not None
    assert (outcome.kind, outcome.at, outcome.by, outcome.topic) == (Answer.DISPATCHED, NOON, "me", "ns.topic")


@pytest.mark.parametrize("at", [b"", b"noon", b"2026-11-24T12:00:00", b"\xff"])
def test_an_end_whose_time_cannot_be_read_has_none(at: bytes) -> None:
    outcome = read_outcome({"tm_outcome": b"cancelled", "tm_at": at, "tm_by": b"ann"})
    assert outcome is not None
    assert outcome.at is None


def test_a_tombstone_of_another_program_tells_nothing() -> None:
    assert read_outcome({}) is None
    assert read_answer({}) is None
    assert read_answer({"tm_answer": b"\xff"}) is None
