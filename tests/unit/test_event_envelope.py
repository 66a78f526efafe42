"""The envelope: what a publisher puts into the headers, and what a consumer reads out of them, of foreign ones too."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidemill.errors import ContractError
from tidemill.event import Event, Position, derived_id, user_headers
from tidemill.events import ImageProcessed, ImageRequested, Rendition
from tidemill.testing import MemoryPublisher

REQUEST = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)])
AT = Position("image.requested", 3, 41, 1_700_000_000_000)


def foreign(*headers: tuple[str, bytes], key: bytes | None = None, at: Position = AT) -> Event[ImageRequested]:
    return Event(REQUEST, key=key, headers=list(headers), position=at)


def published(**envelope: Any) -> Event[ImageRequested]:
    publisher = MemoryPublisher()
    publisher.publish(REQUEST, **envelope)
    (event,) = publisher.of(ImageRequested)
    return event


def test_headers_follow_the_cloudevents_kafka_binding() -> None:
    headers = dict(published(subject="customer 7").raw_headers)
    # CloudEvents 1.0 Kafka Protocol Binding, 3.2.3: attributes as ce_ headers in UTF-8, content-type as it is.
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"image.requested"
    assert headers["ce_source"] == b"/tidemill"
    assert headers["ce_subject"] == b"customer 7"
    assert headers["content-type"] == b"application/avro"
    assert headers["ce_id"].decode().count("-") == 4
    assert datetime.fromisoformat(headers["ce_time"].decode()).utcoffset() == timedelta(0)


def test_an_event_starts_a_job_of_its_own_unless_it_has_a_cause() -> None:
    event = published()
    assert event.root == event.id
    assert event.cause is None


def test_what_follows_from_an_event_belongs_to_its_job() -> None:
    publisher = MemoryPublisher()
    publisher.publish(REQUEST)
    (first,) = publisher.events
    publisher.publish(REQUEST, cause=first)
    second = publisher.events[1]
    publisher.publish(REQUEST, cause=second)
    third = publisher.events[2]
    assert (second.cause, second.root) == (first.id, first.id)
    assert (third.cause, third.root) == (second.id, first.id)
    assert len({first.id, second.id, third.id}) == 3


def test_the_trace_of_the_cause_is_passed_on() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert published(cause=foreign(("traceparent", trace.encode()))).traceparent == trace


def test_ids_of_later_events_are_greater() -> None:
    ids = []
    for _ in range(5):
        ids.append(published().id)
    assert ids == sorted(ids)


def test_the_publishers_own_headers_are_told_apart_from_the_envelopes() -> None:
    event = published(headers={"batch": "7", "raw": b"\xff"})
    assert event.headers == {"batch": b"7", "raw": b"\xff"}


@pytest.mark.parametrize("name", ["ce_id", "tm_root", "traceparent", "content-type"])
def test_a_header_of_the_envelope_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match=f"Header '{name}' belongs to the envelope"):
        user_headers({name: "x"})


@pytest.mark.parametrize("headers", [{"": "x"}, {"a": 5}, {"a": None}, [(3, "x")]])
def test_a_header_that_kafka_can_not_hold_is_refused(headers: Any) -> None:
    with pytest.raises(ContractError, match=r"header's name must be text|must be text or bytes"):
        user_headers(headers)


def test_a_foreign_event_without_headers_has_an_id_from_its_place() -> None:
    event = foreign()
    assert event.id == foreign().id
    assert event.id != foreign(at=AT._replace(offset=42)).id
    assert event.type == "image.requested"
    assert event.source == ""
    assert event.time == datetime.fromtimestamp(1_700_000_000, UTC)
    assert event.attempt == 1
    assert event.root == event.id
    assert event.subject is event.replay is event.traceparent is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"2026-11-22T12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        (b"2026-11-22T14:00:00+02:00", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        (b"2026-11-22T12:00:00", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        (b"yesterday", datetime.fromtimestamp(1_700_000_000, UTC)),
        (b"", datetime.fromtimestamp(1_700_000_000, UTC)),
        (b"\xff\xfe", datetime.fromtimestamp(1_700_000_000, UTC)),
    ],
)
def test_a_time_of_any_make_is_read_or_kafkas_own_stands_in(header: bytes, expected: datetime) -> None:
    event = foreign(("ce_time", header))
    assert event.time == expected
    assert event.time.tzinfo is not None


@pytest.mark.parametrize(("header", "attempt"), [(b"3", 3), (b"-1", 1), (b"x", 1), (b"", 1), ("²".encode(), 1)])
def test_an_attempt_that_is_no_number_counts_as_the_first(header: bytes, attempt: int) -> None:
    assert foreign(("tm_attempt", header)).attempt == attempt


def test_of_a_header_given_twice_the_last_counts() -> None:
    assert foreign(("ce_subject", b"a"), ("ce_subject", b"b")).subject == "b"


def test_a_key_that_is_no_text_is_shown_and_kept_raw() -> None:
    event = foreign(key=b"\xff7")
    assert event.key == "�7"
    assert event.raw_key == b"\xff7"


def test_an_event_that_went_to_another_process_is_the_same() -> None:
    event = published(key="k", subject="s", headers={"batch": "7"})
    copy = pickle.loads(pickle.dumps(event))
    assert copy.payload == event.payload
    assert copy.raw_headers == event.raw_headers
    assert (copy.raw_key, copy.position, copy.id) == (event.raw_key, event.position, event.id)


class Received:
    """A message of a consumer, with a header that has no value."""

    def topic(self) -> str:
        return "image.requested"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 41

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return b""

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("ce_id", b"abc"), ("note", None)]

    def timestamp(self) -> tuple[int, int]:
        return (0, -1)


def test_a_received_event_reads_its_message() -> None:
    event = Event.received(REQUEST, Received())
    assert (event.id, event.key, event.headers) == ("abc", None, {"note": b""})
    assert event.position == Position("image.requested", 3, 41, 0)
    assert event.time == datetime.fromtimestamp(0, UTC)
    assert repr(event).endswith("id='abc', at=image.requested/3/41)")
    assert pickle.loads(pickle.dumps(event)).id == "abc"


def test_derived_ids_are_the_same_each_time_and_differ_by_name_and_parent() -> None:
    assert derived_id("a", "image:0") == derived_id("a", "image:0")
    assert len({derived_id("a", "image:0"), derived_id("a", "image:1"), derived_id("b", "image:0")}) == 3


def test_events_of_one_class_are_told_from_those_of_others() -> None:
    publisher = MemoryPublisher()
    publisher.publish(REQUEST)
    assert publisher.of(ImageProcessed) == []
