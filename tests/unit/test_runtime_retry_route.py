"""An event on its way around: what is added to it, and that all of it comes off again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.sample_message import SampleMessage
from tidemill import delayed
from tidemill.event import Event, Position
from tidemill.runtime.retry_route import can_go_around, origin, own_headers, put_off, retry_topic, tries_before

DUE = datetime(2027, 1, 1, tzinfo=UTC)
OWN: Any = [("colour", b"red"), ("ce_id", b"one"), ("tm_attempt", b"9"), ("tm_due", b"2026-01-01T00:00:00+00:00")]


def around(message: SampleMessage, attempts: int, at_offset: int = 0) -> SampleMessage:
    """The event as it comes back on the retry topic."""
    sent = put_off(message, group="g", topic="g.retry", delayed_topic="later", attempts=attempts, due=DUE)
    assert (sent.topic, sent.key) == ("later", sent.id.encode())
    parcel = delayed.unpacked(sent.headers)
    assert (parcel.due, parcel.topic) == (DUE, "g.retry")
    return SampleMessage(at_offset, parcel.key, sent.value, list(parcel.headers), 3, parcel.topic, 1_790_000_000_000)


def test_an_event_that_came_back_counts_its_tries_on() -> None:
    back = around(SampleMessage(with_headers=OWN), 1)
    assert tries_before(back) == 1
    assert Event.received(None, back).attempt == 2
    assert tries_before(around(back, 2)) == 2


@pytest.mark.parametrize("headers", [OWN, [], [("a", b""), ("a", b"2")], [("tm_retry_was_due", b"odd")]])
def test_an_event_that_went_around_twice_is_what_it_was(headers: Any) -> None:
    message = SampleMessage(5, b"key", b"value", headers)
    back = around(around(message, 1), 2, at_offset=77)
    assert (back.key(), back.value()) == (b"key", b"value")
    assert sorted(own_headers(back)) == sorted(headers)
    assert origin(back) == Position("step.asked", 0, 5, 1_750_000_000_123)
    assert Event.received(None, back).id == Event.received(None, message).id


def test_headers_keep_their_order_and_the_time_an_event_was_due_is_its_last() -> None:
    assert own_headers(around(SampleMessage(with_headers=OWN), 1)) == OWN


def test_an_event_without_a_key_has_none_when_it_comes_back() -> None:
    assert around(SampleMessage(with_key=None), 1).key() is None
    assert around(SampleMessage(with_key=b""), 1).key() == b""


def test_the_same_try_replaces_what_waits_and_another_does_not() -> None:
    def record_id(group: str, attempts: int) -> str:
        message = SampleMessage(with_headers=OWN)
        return put_off(message, group=group, topic="t", delayed_topic="d", attempts=attempts, due=DUE).id

    assert record_id("g", 1) == record_id("g", 1)
    assert len({record_id("g", 1), record_id("g", 2), record_id("h", 1)}) == 3


def test_what_a_record_that_waits_cannot_be_does_not_go_around() -> None:
    assert can_go_around(SampleMessage(with_headers=OWN))
    assert not can_go_around(SampleMessage(with_value=None))
    assert not can_go_around(SampleMessage(with_headers=[("none", None)]))


@pytest.mark.parametrize("text", [b"", b"topic", b"topic 1 2", b"topic 1 2 x", b"topic 1 2 3 4", b"\xff 1 -2 3"])
def test_an_origin_that_cannot_be_read_is_where_the_event_lies(text: bytes) -> None:
    message = SampleMessage(8, with_headers=[("tm_retry_origin", text)])
    assert origin(message) == Position("step.asked", 0, 8, 1_750_000_000_123)


def test_each_stream_has_a_retry_topic_of_its_own() -> None:
    assert retry_topic("tidemill.image") == "tidemill.image.retry"
