"""The form in which an event waits, and when it is due that is published with a delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tidemill import delayed
from tidemill.delayed import due_time, packed, unpacked
from tidemill.errors import ContractError, DecodeError

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DUE = datetime(2027, 3, 28, 3, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))


def test_what_is_packed_comes_out_as_it_was() -> None:
    headers = [("ce_id", b"a"), ("own", b"\xff\x00"), ("own", b"twice")]
    parcel = unpacked(packed("ns.topic", b"\x00key", headers, DUE))
    assert (parcel.topic, parcel.key) == ("ns.topic", b"\x00key")
    assert parcel.due == DUE
    assert parcel.due.utcoffset() == timedelta(0)
    assert parcel.headers == [*headers, ("tm_due", b"2027-03-28T01:30:00.123456+00:00")]


def test_no_key_is_not_an_empty_key() -> None:
    assert unpacked(packed("t", None, [], DUE)).key is None
    assert unpacked(packed("t", b"", [], DUE)).key == b""


def test_an_event_that_is_put_off_again_has_one_due_time() -> None:
    first = unpacked(packed("t", b"k", [("h", b"1")], NOW))
    again = unpacked(packed("t", b"k", first.headers, DUE))
    assert [name for name, _ in again.headers] == ["h", "tm_due"]
    assert again.due == DUE


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "needs the headers tm_to_topic and tm_due, found \\[\\]"),
        ([("tm_to_topic", b"t")], "needs the headers"),
        ([("tm_to_topic", b""), ("tm_due", b"2027-01-01T00:00:00Z")], "needs the headers"),
        ([("tm_to_topic", b"t"), ("tm_due", None)], "needs the headers"),
        ([("tm_to_topic", b"t"), ("tm_due", b"soon")], "can't be read: b'soon'"),
        ([("tm_to_topic", b"\xff"), ("tm_due", b"2027-01-01T00:00:00Z")], "can't be read"),
        ([("tm_to_topic", b"t"), ("tm_due", b"2027-01-01T00:00:00")], "has no time zone"),
    ],
)
def test_what_is_no_delayed_event_says_why(headers: Any, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        unpacked(headers)


def test_a_delay_counts_from_now_and_a_time_is_that_moment_in_any_zone() -> None:
    assert due_time(timedelta(minutes=5), None, NOW) == NOW + timedelta(minutes=5)
    due = due_time(None, DUE, NOW)
    assert due == DUE
    assert due is not None
    assert due.tzinfo is UTC


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-1)])
def test_what_is_due_already_does_not_wait(delay: timedelta) -> None:
    assert due_time(delay, None, NOW) is None
    assert due_time(None, NOW + delay, NOW) is None
    assert due_time(None, None, NOW) is None


@pytest.mark.parametrize(
    ("delay", "at", "why"),
    [
        (timedelta(1), NOW, "found both"),
        (300, None, "must be a timedelta, found int: 300"),
        (timedelta(days=3661), None, "at most 3,660 days"),
        (None, datetime(2027, 1, 1), "must be a datetime with a time zone"),
        (None, "2027-01-01", "must be a datetime with a time zone"),
        (None, NOW + timedelta(days=3661), "at most 3,660 days ahead"),
    ],
)
def test_a_delay_that_makes_no_sense_is_refused_at_once(delay: Any, at: Any, why: str) -> None:
    with pytest.raises(ContractError, match=why):
        due_time(delay, at, NOW)


def test_the_topic_of_what_waits_is_part_of_the_contract_with_other_languages() -> None:
    assert (delayed.TOPIC, delayed.PARTITIONS) == ("schedule.delayed", 6)
    assert (delayed.TO_TOPIC, delayed.TO_KEY) == ("tm_to_topic", "tm_to_key")
