"""What is said of an upload: its name, its digests, the event that it publishes."""

from __future__ import annotations

import base64
import hashlib

import pytest
from starlette.datastructures import Headers, QueryParams

from producers.gateway.errors import Problem
from producers.gateway.uploads.publishing import check_event, event_of
from producers.gateway.uploads.wanted import Wanted, WantedEvent, plain_name, wanted_of
from tidemill.errors import ContractError, InvalidEvent
from tidemill.events import EmailRequested, ImageRequested

DIGEST = hashlib.sha256(b"1")
SIZES = {"renditions": [{"name": "card", "width": 480}]}


def wanted(query: str = "", **headers: str) -> Wanted:
    return wanted_of(QueryParams(query), Headers({name.replace("_", "-"): text for name, text in headers.items()}))


def test_all_can_be_said_by_the_query_and_the_headers() -> None:
    digest = base64.b64encode(DIGEST.digest()).decode()
    found = wanted(
        f"publish=image.requested&payload=%7B%22renditions%22%3A%5B%5D%7D&sha256={DIGEST.hexdigest().upper()}&delay=15m",
        content_disposition='attachment; filename="a \\"b\\".jpg"',
        content_digest=f"sha-512=:AAAA:, sha-256=:{digest}:",
    )
    event = WantedEvent("image.requested", {"renditions": []}, {"delay": "15m"})
    assert found == Wanted('a "b".jpg', DIGEST.hexdigest(), DIGEST.hexdigest(), event)
    assert found.event is not None
    assert found.event.options["delay"].total_seconds() == 900


def test_all_can_be_said_by_a_form() -> None:
    fields = {"event": b'{"type": "image.requested", "payload": {}}', "sha256": DIGEST.hexdigest().encode()}
    found = wanted().with_fields("C:\\photos\\a.jpg", fields)
    assert found == Wanted("a.jpg", DIGEST.hexdigest(), None, WantedEvent("image.requested", {}, {}))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nam=a", "no parameter 'nam'"),
        ("name=a&name=b", "more than once"),
        ("sha256=12", "64 hex digits"),
        ("payload={}", "no type to publish"),
        ("delay=1m", "no type to publish"),
        ("publish=image.requested&payload=[]", "must be a JSON object"),
        ("publish=image.requested&payload={", "not JSON"),
        ('publish=image.requested&payload={"a":1,"a":2}', "written twice"),
        ('publish=image.requested&payload={"source":"file:///etc/passwd"}', "has a source"),
    ],
)
def test_what_cannot_be_read_is_refused(query: str, said: str) -> None:
    with pytest.raises(Problem, match=said) as refused:
        wanted(query)
    assert refused.value.status == 400


@pytest.mark.parametrize("header", ["", "sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=AAAA", "sha-256=:%%%:"])
def test_a_digest_that_cannot_be_checked_is_never_taken_for_one_that_was(header: str) -> None:
    with pytest.raises(Problem, match="no SHA-256 that can be checked") as refused:
        wanted(content_digest=header)
    assert refused.value.headers == {"Want-Content-Digest": "sha-256=10"}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (b"[]", "must be an object"),
        (b'{"payload": {}}', "must be an object"),
        (b'{"type": "image.requested", "paylod": {}}', "must be an object"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_event_of_a_form_that_cannot_be_read_is_refused(event: bytes, said: str) -> None:
    with pytest.raises(Problem, match=said):
        wanted().with_fields(None, {"event": event})


def test_a_form_must_not_say_otherwise_than_the_query() -> None:
    with pytest.raises(Problem, match="asked for twice"):
        wanted("publish=image.requested").with_fields(None, {"event": b'{"type": "image.requested"}'})
    with pytest.raises(Problem, match="differ"):
        wanted(f"sha256={DIGEST.hexdigest()}").with_fields(None, {"sha256": b"0" * 64})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.png", "b.png"),
        ("a\r\nX: 1.png", "aX: 1.png"),
        ("\x00\u202e", None),
        ("/", None),
        ("x" * 500, "x" * 200),
        ("e\u0301.png", "\u00e9.png"),
    ],
)
def test_a_name_is_one_line_without_a_path(name: str, expected: str | None) -> None:
    assert plain_name(name) == expected


def test_the_upload_is_the_events_source_with_its_digest() -> None:
    asked = WantedEvent("image.requested", {**SIZES, "source_sha256": "f" * 64}, {})
    event = event_of(ImageRequested, asked, uri="file:///1.jpg", sha256="a" * 64)
    assert isinstance(event, ImageRequested)
    assert (event.source, event.source_sha256) == ("file:///1.jpg", "a" * 64)


def test_an_event_is_checked_before_its_upload_is_there() -> None:
    check_event(ImageRequested, WantedEvent("image.requested", SIZES, {}))
    with pytest.raises(InvalidEvent, match="width"):
        check_event(ImageRequested, WantedEvent("image.requested", {"renditions": [{"name": "a", "width": "1"}]}, {}))
    with pytest.raises(ContractError, match="delay"):
        check_event(ImageRequested, WantedEvent("image.requested", SIZES, {"delay": "soon"}))
    with pytest.raises(Problem, match="no field `source`"):
        check_event(EmailRequested, WantedEvent("email.requested", {}, {}))
