"""Which files of a job are sent, and which part of them."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from producers.gateway.errors import Problem
from producers.gateway.jobs.files import MOST_FILES, chosen, files_of
from producers.gateway.jobs.sending import range_of
from producers.gateway.jobs.sse import event, json_line, last_event_id, retry
from tests.unit.gateway_job_samples import AT, status
from tidemill.errors import ForbiddenUri
from tidemill.jobs import JobResult, JobStatus, State
from tidemill.store import Store

STORE = Store.from_urls("file:///srv/objects", ["file:///srv/elsewhere"])


def job(payload: Any, result_id: str = "2") -> JobStatus:
    result = JobResult(result_id, "image.processed", payload, AT)
    return dataclasses.replace(status("1", State.DONE), results=(result,))


def picture(name: str, uri: str = "file:///srv/objects/images/a.webp") -> dict[str, Any]:
    return {"name": name, "uri": uri, "bytes": 3, "sha256": "a" * 64, "content_type": "image/webp"}


def test_the_files_that_results_name_are_numbered_and_can_be_named() -> None:
    files = files_of(job({"renditions": [picture("card"), picture("2"), picture("twice"), picture("twice")]}), STORE)
    assert [file.name for file in files] == ["card", "2", "twice", "twice"]
    assert files[0].as_json("/jobs/1") == {
        "name": "card",
        "href": "/jobs/1/files/0",
        "media_type": "image/webp",
        "size_bytes": 3,
        "sha256": "a" * 64,
    }
    assert chosen(files, "card") is files[0]
    assert chosen(files, "2") is files[2]
    assert [chosen(files, which) for which in ("twice", "4", "-1", "²", "9" * 1000, "../0")] == [None] * 6


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "file:///srv/objects",
        "file:///srv/elsewhere/a.webp",
        "file:///srv/objects/../../etc/passwd",
        "file:///srv/objects/%2e%2e/%2e%2e/etc/passwd",
        "file://host/srv/objects/a.webp",
        "http://example.com/a.webp",
        "s3://bucket/a.webp",
        "\x00",
    ],
)
def test_what_lies_elsewhere_is_no_file_of_a_job(uri: str) -> None:
    assert files_of(job({"files": [picture("a", uri)]}), STORE) == []


def test_a_clients_own_event_names_no_files() -> None:
    assert files_of(job({"renditions": [picture("card")]}, result_id="1"), STORE) == []


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "uri",
        7,
        [],
        {"uri": 5},
        {"uri": None},
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": picture("x")}}}}}}}}},
    ],
)
def test_odd_results_name_no_files(payload: Any) -> None:
    assert files_of(job(payload), STORE) == []


def test_there_is_a_limit_to_files() -> None:
    assert len(files_of(job([picture("a")] * 3000), STORE)) == MOST_FILES


@pytest.mark.parametrize(
    ("name", "media_type", "expected"),
    [
        ("card", "image/webp", ("card.webp", True)),
        ("sales.webp", "image/webp", ("sales.webp", True)),
        ('a"\r\nX: 1', "image/webp", ("a-X-1.webp", True)),
        ("../../etc/passwd", "text/html", ("etc-passwd.webp", False)),
        ("página", "image/svg+xml", ("p-gina.webp", False)),
        ("...", "image/png\r\nX: 1", ("0.webp", False)),
    ],
)
def test_a_file_is_saved_under_a_safe_name_and_shown_only_where_that_is_safe(
    name: str, media_type: str, expected: tuple[str, bool]
) -> None:
    (file,) = files_of(job({"files": [{**picture(name), "content_type": media_type}]}), STORE)
    assert (file.save_as, file.is_shown) == expected
    assert "\n" not in file.media_type


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=" + "9" * 50 + "-", None),
    ],
)
def test_a_range_is_understood_or_the_whole_is_sent(header: str, expected: tuple[int, int] | None) -> None:
    assert range_of(header, 100) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_a_range_outside_is_refused_with_the_size(header: str, size: int) -> None:
    with pytest.raises(Problem) as refused:
        range_of(header, size)
    assert (refused.value.status, refused.value.headers) == (416, {"Content-Range": f"bytes */{size}"})


def test_the_store_gives_a_file_from_any_byte_on(tmp_path: Path) -> None:
    store = Store.from_urls(tmp_path.as_uri())
    uri = store.write("a.bin", bytes(range(200)) * 20_000, "application/octet-stream").uri
    whole = (tmp_path / "a.bin").read_bytes()
    for start in (0, 1, 1_048_576, len(whole) - 1):
        assert b"".join(store.chunks(uri, 10_000_000, start)) == whole[start:]
    memory = Store.from_urls("memory:///")
    uri = memory.write("a.bin", whole, "application/octet-stream").uri
    assert b"".join(memory.chunks(uri, 10_000_000, 1_048_577)) == whole[1_048_577:]


def test_a_bucket_sends_its_objects_itself_by_a_link_that_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret"), ("REGION", "eu-west-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    store = Store.from_urls("s3://pictures/made")
    link = store.link("s3://pictures/made/a.webp", timedelta(minutes=5))
    assert link is not None
    assert re.match(r"https://\S+/made/a\.webp\?\S*X-Amz-Expires=300&\S*X-Amz-Signature=[0-9a-f]{64}", link), link
    assert "secret" not in link
    with pytest.raises(ForbiddenUri):
        store.link("s3://pictures/elsewhere/a.webp", timedelta(minutes=5))
    assert STORE.link("file:///srv/objects/a.webp", timedelta(minutes=5)) is None
    assert Store.from_urls("memory:///").link("memory:///a.webp", timedelta(minutes=5)) is None


def test_a_server_sent_event_is_always_whole_lines() -> None:
    assert (
        event("done", json_line({"why": "a\n\ndata: b"}), "v-1")
        == b'id: v-1\nevent: done\ndata: {"why":"a\\n\\ndata: b"}\n\n'
    )
    assert retry(2.5) == b"retry: 2500\n\n"
    with pytest.raises(ValueError, match="one printable line"):
        event("a\nb", "{}")
    with pytest.raises(ValueError, match="one printable line"):
        event("a", "{}", "1\r2")
    with pytest.raises(ValueError, match="one line"):
        event("a", "1\r2")
    with pytest.raises(ValueError, match="JSON"):
        json_line(float("nan"))


@pytest.mark.parametrize(
    ("header", "expected"), [("done-1-2-3", "done-1-2-3"), (None, None), ("", None), ("x" * 201, None)]
)
def test_the_last_id_that_a_reader_had_is_taken_if_it_could_be_ours(header: str | None, expected: str | None) -> None:
    assert last_event_id(header) == expected
