"""Many events in one request: an answer for each, in their order, whatever the others are."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway_calls import LINES, PICTURE, Calls, calls
from tidemill.event import derived_id
from tidemill.events import ImageRequested

BATCH = "application/cloudevents-batch+json"
PATH = "/events/image.requested"


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Calls]:
    async with calls(tmp_path, body_bytes=2_000, batch_bytes=300_000, batch_lines=50, header_seconds=1) as made:
        yield made


def ndjson(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)


async def test_each_line_has_its_answer_and_a_bad_one_does_not_fail_the_others(call: Calls) -> None:
    answer = await call.post(PATH, ndjson(PICTURE, b"{nope", b"", {"source": 1}, PICTURE, b"   "), LINES)

    assert answer.status == 200
    assert answer.headers["content-type"] == LINES
    assert [(line["line"], line["status"]) for line in answer.lines] == [(1, 202), (2, 400), (3, 422), (4, 202)]
    published = [event.id for event in call.publisher.of(ImageRequested)]
    assert [answer.lines[0]["id"], answer.lines[3]["id"]] == published
    assert answer.lines[3]["job"] == f"/jobs/{published[1]}"
    assert "renditions" in answer.lines[2]["detail"]


async def test_lines_are_put_together_however_they_come(call: Calls) -> None:
    whole = ndjson(*[{**PICTURE, "source": f"file:///{number}.jpg"} for number in range(7)])
    for size in (1, 13, 100, 10_000):
        call.publisher.clear()
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        answer = await call("POST", PATH, headers={"content-type": LINES}, pieces=pieces)
        assert [line["status"] for line in answer.lines] == [202] * 7
        sources = [event.payload.source for event in call.publisher.of(ImageRequested)]
        assert sources == [f"file:///{number}.jpg" for number in range(7)]


async def test_lines_without_a_type_in_the_path_name_it_themselves(call: Calls) -> None:
    lines = ndjson(
        {"type": "image.requested", "data": PICTURE, "key": "k", "subject": "s"},
        {"type": "image.requested", "data": PICTURE, "idempotency_key": "a"},
        {"specversion": "1.0", "id": "c", "source": "/x", "type": "image.requested", "data": PICTURE},
        {"type": "schedule.tick", "data": {}},
        {"type": "image.requsted", "data": {}},
        {"type": "image.requested", "data": PICTURE, "dealy": "1m"},
        {"data": PICTURE},
        [],
        {"type": "image.requested", "data": PICTURE, "delay": "soon"},
    )
    answer = await call.post("/events", lines, LINES)
    assert [line["status"] for line in answer.lines] == [202, 202, 202, 403, 404, 400, 400, 400, 422]
    first, second, third = call.publisher.of(ImageRequested)
    assert (first.key, first.subject) == ("k", "s")
    assert second.id == derived_id("", "gateway:image.requested:a")
    assert (third.id, third.source) == ("c", "/x")


async def test_the_lines_of_a_repeated_batch_are_the_same_events(call: Calls) -> None:
    ids = []
    for _ in range(2):
        answer = await call.post(PATH, ndjson(PICTURE, PICTURE), LINES, idempotency_key="batch-7")
        ids.append([line["id"] for line in answer.lines])
    assert ids[0] == ids[1] == [derived_id("", f"gateway:image.requested:batch-7#{number}") for number in (1, 2)]


async def test_a_batch_of_cloud_events_is_answered_as_a_list(call: Calls) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "image.requested", "data": PICTURE}
    answer = await call.post("/events", [event, {**event, "id": "2", "data": {}}, 7, {**event, "id": "3"}], BATCH)
    assert [(each["line"], each["status"]) for each in answer.json] == [(1, 202), (2, 422), (3, 400), (4, 202)]
    assert [event.id for event in call.publisher.events] == ["1", "3"]
    assert (await call.post("/events", {}, BATCH)).status == 400
    assert (await call.post("/events", [], BATCH)).json == []
    assert (await call.post("/events", [event] * 51, BATCH)).status == 413
    other = await call.post("/events/email.requested", [event], BATCH)
    assert [each["status"] for each in other.json] == [409]


async def test_what_is_beyond_the_limits_is_not_read_and_the_answer_says_so(call: Calls) -> None:
    long = await call.post(PATH, ndjson(PICTURE, {**PICTURE, "source": "x" * 3_000}, PICTURE), LINES)
    assert [line["status"] for line in long.lines][-1] == 413
    assert "2,000 bytes" in long.lines[-1]["detail"]

    many = await call.post(PATH, ndjson(*[PICTURE] * 60), LINES)
    assert [line["status"] for line in many.lines][-1] == 413
    assert "50 lines" in many.lines[-1]["detail"]

    large = await call.post(PATH, b"\n" * 300_001, LINES)
    assert (large.status, large.json["status"]) == (413, 413)
    endless = await call("POST", PATH, headers={"content-type": LINES}, pieces=[b"\n" * 50_000] * 7)
    assert endless.lines[-1]["status"] == 413
    assert call.gateway.waiting.bytes == 0


async def test_a_body_may_be_packed_with_gzip(call: Calls) -> None:
    packed = gzip.compress(ndjson(PICTURE)) + gzip.compress(b"\n" + ndjson(PICTURE))
    answer = await call.post(PATH, packed, LINES, content_encoding="gzip")
    assert [line["status"] for line in answer.lines] == [202, 202]
    one = await call.post(PATH, gzip.compress(ndjson(PICTURE)), content_encoding="gzip")
    assert one.status == 202


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (gzip.compress(b" " * 10_000_000), "gzip", 413, "2,000 bytes"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "no end"),
        (b"{}", "gzip", 400, "isn't gzip"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "isn't gzip"),
        (b"{}", "br", 415, "gzip"),
        (b"{}", "gzip, gzip", 415, "gzip"),
    ],
    # Packed bytes hold the time: names made of them would differ from one process of a run to another.
    ids=["a bomb", "cut off", "not packed", "more behind it", "another way", "twice"],
)
async def test_a_packed_body_is_bounded_and_must_be_whole(
    call: Calls, body: bytes, encoding: str, status: int, words: str
) -> None:
    answer = await call.post(PATH, body, content_encoding=encoding)
    assert (answer.status, words in answer.json["detail"] + answer.json.get("hint", "")) == (status, True), answer.json
    assert call.gateway.waiting.bytes == 0


async def test_a_reader_that_takes_no_answers_is_cut_off(call: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.gateway.events.batch_routes.SEND_SECONDS", 0.05)
    pieces = [ndjson(PICTURE) + b"\n"] * 40
    await call("POST", PATH, headers={"content-type": LINES}, pieces=pieces, takes_answers=False)
    assert call.gateway.waiting.bytes == 0


async def test_an_unfinished_line_counts_as_long_as_it_is_held(call: Calls) -> None:
    call.gateway.waiting.take(call.gateway.waiting.most_bytes - 1_000)
    answer = await call("POST", PATH, headers={"content-type": LINES}, pieces=[b" " * 600, b" " * 600, b"\n"])
    assert answer.lines[-1]["type"] == "urn:tidemill:problem:busy"
    assert call.gateway.waiting.bytes == call.gateway.waiting.most_bytes - 1_000
