"""One event over HTTP: what is taken, what becomes of it, and what is refused with which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.gateway_calls import JSON, PICTURE, Calls, calls
from tidemill.errors import NotDelivered
from tidemill.event import derived_id
from tidemill.events import ImageRequested

CLOUD_EVENT = "application/cloudevents+json"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Calls]:
    async with calls(tmp_path, body_bytes=20_000) as made:
        yield made


def cloud_event(**changes: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "image.requested", "data": PICTURE}
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


async def test_an_event_is_answered_with_where_it_lies(call: Calls) -> None:
    answer = await call.post("/events/image.requested", PICTURE, traceparent=TRACE)

    assert answer.status == 202
    (event,) = call.publisher.of(ImageRequested)
    assert answer.json == {
        "id": event.id,
        "topic": "image.requested",
        "partition": event.position.partition,
        "offset": 0,
        "job": f"/jobs/{event.id}",
    }
    assert answer.headers["location"] == f"/jobs/{event.id}"
    assert (event.payload.source, event.key, event.traceparent) == ("file:///1.jpg", "file:///1.jpg", TRACE)


async def test_its_options_are_those_of_publishing(call: Calls) -> None:
    await call.post("/events/image.requested?key=k&subject=s&delay=15m", PICTURE)
    (event,) = call.publisher.events
    assert (event.key, event.subject, event.position.topic) == ("k", "s", "schedule.delayed")
    assert event.due is not None
    assert 899 <= (event.due - event.time).total_seconds() <= 900


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("delay=soon", "Write a whole number and a unit"),
        ("delay=1m&at=2027-01-01T00:00:00Z", "found both"),
        ("at=2027-01-01T00:00:00", "with a zone"),
        ("dealy=1m", "Did you mean 'delay'?"),
        ("key=a&key=b", "more than once"),
        ("subject=%0Ax", "printable"),
        ("delay=forever", "A delay has an end"),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused(call: Calls, query: str, words: str) -> None:
    answer = await call.post(f"/events/image.requested?{query}", PICTURE)
    assert answer.status == 400
    assert words in answer.json["detail"] + answer.json.get("hint", "")
    assert call.publisher.events == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "It is not JSON"),
        (b"\xff", 400, "UTF-8"),
        (b'{"source": "a", "source": "b"}', 400, "written twice"),
        (b"[" * 15_000, 400, "nested too deeply"),
        (b"[]", 422, "expected a JSON object"),
        (b'{"source": NaN}', 400, "not a JSON number"),
        (b'{"source": ' + b"9" * 5_000 + b"}", 400, "can't be read as JSON"),
        ({**PICTURE, "metadata": "drop"}, 422, "one of strip, keep"),
        ({**PICTURE, "source": "\n"}, 422, "printable"),
        ({**PICTURE, "source": ""}, 422, "1 to"),
        ({"source": "x" * 30_000}, 413, "20,000 bytes"),
        (b"", 400, "It is not JSON"),
    ],
)
async def test_a_body_that_is_no_such_event_is_refused(call: Calls, body: object, status: int, words: str) -> None:
    answer = await call.post("/events/image.requested", body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json["detail"]
    assert answer.json["status"] == status
    assert call.publisher.events == []


@pytest.mark.parametrize(
    ("path", "media_type", "status", "words"),
    [
        ("/events/image.requsted", JSON, 404, "Did you mean 'image.requested'?"),
        ("/events/schedule.tick", JSON, 403, "internal type"),
        ("/events/image.requested", "text/plain", 415, "application/json"),
        ("/events/image.requested", "", 415, "Content-Type: application/json"),
        ("/events/image.requested", "application/json; charset=latin-1", 415, "JSON is UTF-8"),
        ("/events", JSON, 400, "POST /events/{type}"),
        ("/events/", JSON, 404, "/openapi.json"),
        ("/events/../events/image.requested", JSON, 404, ""),
        ("/events/image.requested/x", JSON, 404, ""),
    ],
)
async def test_a_request_that_leads_nowhere_says_where_to_go(
    call: Calls, path: str, media_type: str, status: int, words: str
) -> None:
    answer = await call.post(path, PICTURE, media_type)
    assert answer.status == status
    assert words in answer.json["detail"] + answer.json.get("hint", "")


async def test_a_cloud_event_keeps_what_it_says_of_itself(call: Calls) -> None:
    said = cloud_event(
        time="2026-01-02T03:04:05+01:00", subject="s", partitionkey="k", traceparent=TRACE, tenant="a", urgent=True
    )
    structured = await call.post("/events/image.requested", said, CLOUD_EVENT)
    headers = {f"ce_{name}": str(value) for name, value in said.items() if name not in ("data", "urgent")}
    binary = await call.post("/events", PICTURE, JSON, **{**headers, "ce_id": "e%202", "ce_urgent": "true"})

    assert (structured.status, binary.status) == (202, 202)
    assert (structured.json["id"], binary.json["id"]) == ("e1", "e 2")
    assert structured.json["job"] == "/jobs/e1"
    assert binary.headers["location"] == "/jobs/e%202"
    for event in call.publisher.of(ImageRequested):
        assert (event.source, event.subject, event.key, event.traceparent) == ("/shop", "s", "k", TRACE)
        assert event.time.isoformat() == "2026-01-02T03:04:05+01:00"
        assert dict(event.raw_headers)["ce_tenant"] == b"a"
        assert dict(event.raw_headers)["ce_urgent"] == b"true"
        assert event.root == event.id


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"type": "email.requested"}, 409, "The path says image.requested"),
        ({"id": None}, 400, "'id'"),
        ({"source": ""}, 400, "source"),
        ({"specversion": "0.3"}, 400, "1.0"),
        ({"time": "yesterday"}, 400, "with a zone"),
        ({"data": None, "data_base64": "e30="}, 400, "data_base64"),
        ({"datacontenttype": "text/xml"}, 400, "application/json"),
        ({"data": None}, 400, "no data"),
        ({"tm_root": "x"}, 400, "lower-case letters and digits"),
        ({"note": "a\r\nb"}, 400, "printable"),
        ({"subject": "\ud800"}, 400, "printable"),
        ({"data": {"source": 1}}, 422, "renditions"),
    ],
)
async def test_a_cloud_event_that_is_none_is_refused(
    call: Calls, changes: dict[str, Any], status: int, words: str
) -> None:
    answer = await call.post("/events/image.requested", cloud_event(**changes), CLOUD_EVENT)
    assert (answer.status, words in answer.json["detail"]) == (status, True), answer.json
    assert call.publisher.events == []


async def test_a_repeat_is_the_same_event_and_is_not_published_again(call: Calls) -> None:
    first = await call.post("/events/image.requested", PICTURE, idempotency_key="order-1")
    again = await call.post("/events/image.requested", PICTURE, idempotency_key='"order-1"')

    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json["id"] == derived_id("", "gateway:image.requested:order-1")
    assert len(call.publisher.events) == 1


async def test_repeats_at_the_same_time_are_one_event(call: Calls) -> None:
    answers = await asyncio.gather(
        *(call.post("/events/image.requested", PICTURE, idempotency_key="k") for _ in range(5))
    )
    assert {answer.status for answer in answers} == {202}
    assert len(call.publisher.events) == 1


async def test_a_key_that_was_used_for_something_else_is_refused(call: Calls) -> None:
    await call.post("/events/image.requested", PICTURE, idempotency_key="k")
    for path, body in [
        ("/events/image.requested", {**PICTURE, "source": "x"}),
        ("/events/image.requested?subject=s", PICTURE),
    ]:
        answer = await call.post(path, body, idempotency_key="k")
        assert (answer.status, answer.json["type"]) == (422, "urn:tidemill:problem:reused-key")
    cloud = await call.post("/events", cloud_event(), CLOUD_EVENT, idempotency_key="k")
    assert (cloud.status, "id and source" in cloud.json["detail"]) == (409, True)


async def test_where_the_broker_is_away_the_fate_is_said_and_a_repeat_is_tried_again(
    call: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        async def away(*_: Any) -> Any:
            raise NotDelivered("no acknowledgement from 10.1.2.3:9092")

        patch.setattr(call.publisher, "send", away)
        lost = await call.post("/events/image.requested", PICTURE, idempotency_key="k")
    assert lost.status == 503
    assert "may be published or not" in lost.json["detail"]
    assert "same Idempotency-Key" in lost.json["hint"]
    assert int(lost.headers["retry-after"]) > 0
    assert b"10.1.2.3" not in lost.body
    assert call.gateway.waiting.bytes == 0

    again = await call.post("/events/image.requested", PICTURE, idempotency_key="k")
    assert again.status == 202
    assert again.json["id"] == derived_id("", "gateway:image.requested:k")


async def test_what_is_held_is_bounded_and_given_back(call: Calls) -> None:
    call.gateway.waiting.take(call.gateway.waiting.most_bytes - 300)
    answer = await call.post("/events/image.requested", PICTURE)
    assert (answer.status, answer.json["type"]) == (503, "urn:tidemill:problem:busy")
    assert answer.headers["retry-after"] == "1"
    assert call.gateway.waiting.bytes == call.gateway.waiting.most_bytes - 300


async def test_every_answer_has_headers_of_safety(call: Calls) -> None:
    for answer in (await call.post("/events/image.requested", PICTURE), await call("GET", "/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers["x-request-id"]) == 32
        assert "access-control-allow-origin" not in answer.headers


async def test_a_gateway_without_tokens_answers_to_localhost_alone(call: Calls) -> None:
    for host, status in [("localhost:8080", 200), ("[::1]:1", 200), ("127.0.0.1", 200), ("evil.example:80", 421)]:
        assert (await call("GET", "/healthz", headers={"host": host})).status == status


async def test_a_fault_of_the_gateway_tells_nothing_of_it(call: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.gateway.events.routes.parsed", lambda body: 1 / 0)
    with capture_logs() as logged:
        answer = await call.post("/events/image.requested", PICTURE)
    assert (answer.status, answer.json["type"]) == (500, "urn:tidemill:problem:internal")
    assert [(line["event"], type(line["exc_info"])) for line in logged] == [
        ("a fault of the gateway", ZeroDivisionError)
    ]
    assert b"ZeroDivision" not in answer.body
    assert "x-request-id" in answer.headers


async def test_pages_of_other_origins_may_call_it_only_where_they_are_named(tmp_path: Path) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    async with calls(tmp_path / "a", cors_origins=["https://shop.example"]) as named, calls(tmp_path / "b") as closed:
        allowed = await named("OPTIONS", "/events", headers=asked)
        other = await named("OPTIONS", "/events", headers={**asked, "origin": "https://evil.example"})
        refused = await closed("OPTIONS", "/events", headers=asked)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert (other.status, other.headers.get("access-control-allow-origin")) == (400, None)
    assert (refused.status, refused.headers.get("access-control-allow-origin")) == (405, None)
