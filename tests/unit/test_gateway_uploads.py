"""Uploads as a client sees them: what is stored, what is published, what is refused and what is left then."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from producers.gateway.errors import unknown_fate
from producers.gateway.jobs.places import Places
from producers.gateway.settings import load_gateway_settings
from producers.gateway.tokens.request import new_token
from producers.gateway.tokens.store import TokenStore
from producers.gateway.uploads.desk import UploadDesk
from producers.gateway.uploads.settings import UploadSettings
from tests.unit.gateway_calls import Answer, Calls, calls
from tidemill.config import load_settings
from tidemill.errors import NotDelivered
from tidemill.events import ImageRequested

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20
SHA256 = hashlib.sha256(PICTURE).hexdigest()
PAYLOAD = {"renditions": [{"name": "card", "width": 480}]}
REQUEST = f"/uploads?publish=image.requested&payload={quote(json.dumps(PAYLOAD))}"
RAW = "application/octet-stream"
FORM = "multipart/form-data; boundary=XX"


@asynccontextmanager
async def taking(folder: Path, **settings: object) -> AsyncIterator[Calls]:
    async with calls(folder, body_seconds=0.5, **settings) as call:
        limits = UploadSettings(
            max_bytes={"image/*": 50_000, "video/mp4": 90_000}, at_once=2, at_once_per_token=2, min_free_bytes=0
        )
        call.app.state.upload_desk = desk = UploadDesk(call.gateway, limits)
        call.gateway.at_end.append(desk.close)
        yield call


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Calls]:
    async with taking(tmp_path) as started:
        yield started


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b""
    for name, content in parts:
        file_name = '; filename="a.png"' if name == "file" else ""
        body += f'--XX\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--XX--\r\n"


def stored(folder: Path) -> list[Path]:
    return [path for path in (folder / "state").rglob("*") if path.is_file() and "gateway.db" not in path.name]


async def test_a_file_is_stored_under_its_content_whatever_its_client_calls_it(call: Calls, tmp_path: Path) -> None:
    answers = [
        await call.post("/uploads?name=..%2F..%2Fevil.sh", PICTURE, "image/png"),
        await call.post("/uploads", PICTURE, RAW, content_disposition='attachment; filename="b.html"'),
        await call.post("/uploads", form(("file", PICTURE)), FORM),
    ]
    assert [answer.status for answer in answers] == [201] * 3
    assert [answer.json["name"] for answer in answers] == ["evil.sh", "b.html", "a.png"]
    (path,) = stored(tmp_path)
    assert path.read_bytes() == PICTURE
    for answer in answers:
        del answer.json["name"]
        assert (
            answer.json["uri"]
            == path.as_uri()
            == f"{(tmp_path / 'state/objects/uploads').as_uri()}/{SHA256[:2]}/{SHA256}.jpg"
        )
        assert (answer.json["sha256"], answer.json["size_bytes"], answer.json["media_type"]) == (
            SHA256,
            5124,
            "image/jpeg",
        )


@pytest.mark.parametrize("kind", ["raw", "form"])
async def test_the_same_call_publishes_what_is_to_be_made_of_it(call: Calls, kind: str) -> None:
    if kind == "raw":
        answer = await call.post(f"{REQUEST}&subject=holiday", PICTURE, RAW)
    else:
        event = {"type": "image.requested", "payload": PAYLOAD, "subject": "holiday"}
        answer = await call.post("/uploads", form(("file", PICTURE), ("event", json.dumps(event).encode())), FORM)
    assert answer.status == 202
    (published,) = call.publisher.events
    request = published.payload
    assert isinstance(request, ImageRequested)
    assert (request.source, request.source_sha256) == (answer.json["upload"]["uri"], SHA256)
    assert request.renditions[0].width == 480
    assert published.subject == "holiday"
    assert answer.json["id"] == published.id
    assert answer.headers["location"] == answer.json["job"] == f"/jobs/{published.id}"


async def test_a_repeat_with_the_same_key_is_the_same_event(call: Calls) -> None:
    first, again = [await call.post(REQUEST, PICTURE, RAW, idempotency_key="order-7") for _ in range(2)]
    assert first.json == again.json
    assert again.headers["idempotent-replayed"] == "true"
    assert len(call.publisher.events) == 1
    other = await call.post(REQUEST, PICTURE + b"1", RAW, idempotency_key="order-7")
    assert (other.status, other.json["type"]) == (422, "urn:tidemill:problem:reused-key")
    assert other.json["uri"].endswith(f"{hashlib.sha256(PICTURE + b'1').hexdigest()}.jpg")


@pytest.mark.parametrize("error", [NotDelivered("not in time"), unknown_fate("not in time")])
async def test_an_upload_whose_event_is_in_doubt_stays_and_says_how_to_go_on(
    call: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("producers.gateway.events.sending.produce", fail)
    answer = await call.post(REQUEST, PICTURE, RAW)
    assert answer.status == 503
    assert answer.json["uri"] == stored(tmp_path)[0].as_uri()
    assert "The upload itself is stored: send it again" in answer.json["hint"]
    assert "same Idempotency-Key" in answer.json["hint"]
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("path", "body", "media_type", "status", "said"),
    [
        ("/uploads", b"<html><script>", "image/jpeg", 415, "The file is HTML; taken are image/*, video/mp4"),
        ("/uploads", b"", RAW, 400, "empty"),
        ("/uploads", PICTURE * 11, RAW, 413, "type image/jpeg may have at most 50,000 bytes"),
        ("/uploads", PICTURE * 40, RAW, 413, "any file may have at most 90,000 bytes"),
        ("/uploads", form(("file", PICTURE * 11)), FORM, 413, "type image/jpeg may have at most 50,000 bytes"),
        ("/uploads", form(("file", bytes(500_000))), FORM, 413, "any file may have at most 90,000 bytes"),
        ("/uploads", form(("file", PICTURE))[:-4], FORM, 400, "cut off"),
        ("/uploads", form(("event", b"{}")), FORM, 400, "no file in the form"),
        ("/uploads", b"x", "multipart/form-data", 400, "boundary"),
        ("/uploads?sha256=" + "0" * 64, PICTURE, RAW, 422, f"SHA-256 is {SHA256}"),
        ("/uploads", form(("file", PICTURE), ("sha256", b"0" * 64)), FORM, 422, f"SHA-256 is {SHA256}"),
        ("/uploads?sha256=1", PICTURE, RAW, 400, "64 hex digits"),
        ("/uploads?publish=image.request", PICTURE, RAW, 404, "image.request"),
        ("/uploads?publish=email.requested", PICTURE, RAW, 422, "no field `source`"),
        ("/uploads?publish=schedule.tick", PICTURE, RAW, 403, "internal"),
        ("/uploads?publish=image.requested", PICTURE, RAW, 422, "'renditions' is missing"),
        ("/uploads?publish=image.requested&payload={", PICTURE, RAW, 400, "not JSON"),
        (f"{REQUEST}&delay=soon", PICTURE, RAW, 422, "soon"),
        ("/uploads", form(("file", PICTURE), ("event", b'{"type":"image.requested"}')), FORM, 422, "is missing"),
        ("/uploads", form(("file", PICTURE), ("event", b'{"type":"email.requested"}')), FORM, 422, "no field `source`"),
    ],
)
async def test_what_is_refused_leaves_nothing(
    call: Calls, tmp_path: Path, path: str, body: bytes, media_type: str, status: int, said: str
) -> None:
    answer = await call.post(path, body, media_type)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    text = f"{answer.json['detail']} {answer.json.get('hint')}"
    assert said in text
    assert stored(tmp_path) == []
    assert call.publisher.events == []
    assert call.app.state.upload_desk.places.taken == 0


@pytest.mark.parametrize("kind", ["raw", "form"])
async def test_a_digest_of_the_body_is_checked(call: Calls, tmp_path: Path, kind: str) -> None:
    body, media_type = (PICTURE, RAW) if kind == "raw" else (form(("file", PICTURE)), FORM)

    async def sent(digest: bytes) -> Answer:
        return await call.post(
            "/uploads", body, media_type, content_digest=f"sha-256=:{base64.b64encode(digest).decode()}:"
        )

    wrong = await sent(hashlib.sha256(b"other").digest())
    assert (wrong.status, wrong.json["type"]) == (422, "urn:tidemill:problem:mismatch")
    assert stored(tmp_path) == []
    assert (await sent(hashlib.sha256(body).digest())).status == 201


async def test_a_body_that_comes_without_a_length_is_counted_while_it_comes(call: Calls, tmp_path: Path) -> None:
    many = [b"\xff\xd8\xff", *[bytes(1000)] * 200]
    answer = await call("POST", "/uploads", headers={"content-type": RAW}, pieces=many)
    assert answer.status == 413
    assert stored(tmp_path) == []


async def test_an_upload_may_last_only_so_long(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        limits = UploadSettings(seconds=0.05, min_free_bytes=0)
        call.app.state.upload_desk = desk = UploadDesk(call.gateway, limits)
        call.gateway.at_end.append(desk.close)
        answer = await asyncio.wait_for(slowly(call), 5)
    assert answer == 408
    assert stored(tmp_path) == []


async def slowly(call: Calls) -> int:
    """The status for an upload that never ends."""
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": PICTURE[:10], "more_body": True}

    async def send(message: dict[str, int]) -> None:
        statuses.append(message.get("status", 0))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/uploads",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await call.app(scope, receive, send)  # type: ignore[arg-type]
    return statuses[0]


async def test_an_upload_that_is_cut_off_leaves_nothing(call: Calls, tmp_path: Path) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        body = PICTURE if not sent else b""
        sent.append(body)
        return {"type": "http.request", "body": body, "more_body": True} if body else {"type": "http.disconnect"}

    async def send(message: object) -> None:
        raise AssertionError(f"nobody is there, but {message} was sent")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/uploads",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-length", b"40000")],
        "client": None,
    }
    await call.app(scope, receive, send)
    assert stored(tmp_path) == []
    assert call.app.state.upload_desk.places.taken == 0


async def test_there_is_a_limit_to_uploads_at_once(call: Calls) -> None:
    places = call.app.state.upload_desk.places
    places.take("another")
    places.take("another")
    answer = await call.post("/uploads", PICTURE, RAW)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    places.leave("another")
    call.app.state.upload_desk.places = Places("uploads", 2, 0)
    assert (await call.post("/uploads", PICTURE, RAW)).status == 429
    call.app.state.upload_desk.places = places
    assert (await call.post("/uploads", PICTURE, RAW)).status == 201


async def test_a_token_needs_the_scope_and_the_right_to_publish(tmp_path: Path) -> None:
    store = TokenStore(load_settings(state_dir=tmp_path / "state"), load_gateway_settings())
    texts = {}
    for name, upload, publish in (("all", True, ["image.*"]), ("uploads", True, ["video.*"]), ("events", False, ["*"])):
        token, text, hash_ = new_token(
            name,
            publish,
            read_jobs=False,
            upload=upload,
            expires="1d",
            rate=None,
            burst=None,
            now=datetime.now(UTC),
        )
        store.add(token, hash_)
        texts[name] = text
    store.close()
    async with taking(tmp_path, open=False) as call:
        found = {}
        for name in (*texts, "none"):
            for path in ("/uploads", REQUEST):
                headers = {"authorization": f"Bearer {texts.get(name, 'nonsense')}"}
                found[name, path] = (await call.post(path, PICTURE, RAW, **headers)).status
    assert found == {
        ("all", "/uploads"): 201,
        ("all", REQUEST): 202,
        ("uploads", "/uploads"): 201,
        ("uploads", REQUEST): 403,
        ("events", "/uploads"): 403,
        ("events", REQUEST): 403,
        ("none", "/uploads"): 401,
        ("none", REQUEST): 401,
    }


async def test_two_who_upload_the_same_file_at_once_both_get_it_stored(call: Calls, tmp_path: Path) -> None:
    answers = await asyncio.gather(*(call.post("/uploads", PICTURE, RAW) for _ in range(2)))
    assert [answer.status for answer in answers] == [201, 201]
    assert len(stored(tmp_path)) == 1
