"""Objects in buckets: in memory, and through a small server that answers as S3 does, well and badly."""

from __future__ import annotations

import os
import pickle
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tidemill.config import load_settings
from tidemill.errors import ConfigError, ForbiddenUri, ObjectMissing, ObjectTooLarge, StoreError, StoreUnavailable
from tidemill.store import Store


class SmallS3(ThreadingHTTPServer):
    """Keeps objects in a dict; `misbehave` makes it answer everything with a status, or cut bodies short."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, tuple[dict[int, bytes], str]] = {}
        self.requests: list[str] = []
        self.misbehave: int | str | None = None
        self.conditional = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # whoever gives up hangs up
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: SmallS3
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        self.server.requests.append(format % args)

    def _answer(self, status: int, body: bytes = b"", content_type: str = "application/xml", cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", content_type)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Tue, 24 Nov 2026 08:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def _bad(self) -> bool:
        if isinstance(self.server.misbehave, int):
            self._answer(self.server.misbehave, b"<Error><Code>AccessDenied</Code></Error>")
            return True
        return False

    def do_GET(self) -> None:
        if self._bad():
            return
        if "list-type=2" in self.path:
            self._list()
            return
        found = self.server.objects.get(self.path)
        if found is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, *found, cut=self.server.misbehave == "cut")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self) -> None:
        parts = urlsplit(self.path)
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        found = [(name.removeprefix(f"{parts.path}/"), body) for name, (body, _) in sorted(self.server.objects.items())]
        contents = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(body)}</Size><ETag>1</ETag>"
            "<LastModified>2026-11-24T08:00:00.000Z</LastModified></Contents>"
            for name, body in found
            if name.startswith(prefix)
        )
        self._answer(200, f"<ListBucketResult>{contents}<IsTruncated>false</IsTruncated></ListBucketResult>".encode())

    def do_DELETE(self) -> None:
        if not self._bad():
            self.server.objects.pop(self.path, None)
            self.server.uploads.pop(self.path.partition("uploadId=")[2], None)
            self._answer(204)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self._bad():
            return
        path, _, query = self.path.partition("?")
        if query.startswith("delete"):
            names = re.findall(rb"<Key>(.*?)</Key>", body)
            for name in names:
                self.server.objects.pop(f"{path.rstrip('/')}/{name.decode()}", None)
            deleted = b"".join(b"<Deleted><Key>%b</Key></Deleted>" % name for name in names)
            self._answer(200, b"<DeleteResult>%b</DeleteResult>" % deleted)
        elif query.startswith("uploads"):
            upload = f"upload-{len(self.server.requests)}"
            self.server.uploads[upload] = ({}, self.headers["Content-Type"])
            self._answer(200, f"<R><Bucket>b</Bucket><Key>k</Key><UploadId>{upload}</UploadId></R>".encode())
        else:
            parts, content_type = self.server.uploads.pop(query.partition("uploadId=")[2])
            self.server.objects[path] = (b"".join(parts[number] for number in sorted(parts)), content_type)
            self._answer(200, b'<R><ETag>"1"</ETag></R>')

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._bad():
            return
        asked = parse_qs(urlsplit(self.path).query)
        if "partNumber" in asked:
            if self.server.misbehave == "no parts":
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
                return
            self.server.uploads[asked["uploadId"][0]][0][int(asked["partNumber"][0])] = body
            self._answer(200)
            return
        if self.headers.get("If-None-Match") == "*":
            if not self.server.conditional:
                self._answer(501, b"<Error><Code>NotImplemented</Code></Error>")
                return
            if self.path in self.server.objects:
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
        self.server.objects[self.path] = (body, self.headers["Content-Type"])
        self._answer(200)


@contextmanager
def _serving() -> Iterator[SmallS3]:
    with SmallS3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=5)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallS3]:
    with _serving() as server:
        _point_at(monkeypatch, server.server_address[1])
        yield server


def _point_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)


def _store(url: str = "s3://bucket/results") -> Store:
    return Store.from_settings(load_settings(store_url=url, store_allow=["s3://uploads"]))


@pytest.mark.parametrize("url", ["s3://bucket/results", "s3://bucket", "memory://"])
def test_what_is_written_can_be_read_and_is_described(s3: SmallS3, url: str) -> None:
    store = _store(url)
    written = store.write("images/a.jpg", b"data", "image/jpeg")
    assert written.written
    assert store.read(written.uri, 10) == b"data"
    assert store.head(written.uri).size_bytes == 4
    assert store.exists(written.uri)
    assert not store.exists(written.uri + "x")
    with pytest.raises(ObjectMissing, match=r"There is no object '.*images/a\.jpgx'"):
        store.read(written.uri + "x", 10)


def test_the_media_type_is_kept_and_the_key_lies_below_the_store(s3: SmallS3) -> None:
    _store().write("images/a.jpg", b"data", "image/jpeg")
    assert s3.objects == {"/bucket/results/images/a.jpg": (b"data", "image/jpeg")}


@pytest.mark.parametrize("conditional", [True, False])
def test_writing_what_is_there_writes_nothing(s3: SmallS3, monkeypatch: pytest.MonkeyPatch, conditional: bool) -> None:
    s3.conditional = conditional
    if not conditional:
        # What the documentation tells users of such stores to set.
        monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    store = _store()
    assert store.write("a", b"data", "text/plain").written
    s3.objects["/bucket/results/a"] = (b"DATA", "text/plain")
    assert not store.write("a", b"data", "text/plain").written
    assert s3.objects["/bucket/results/a"][0] == b"DATA", "it was written again"


def test_a_damaged_object_is_replaced(s3: SmallS3) -> None:
    s3.objects["/bucket/results/a"] = (b"da", "text/plain")
    assert _store().write("a", b"data", "text/plain").written
    assert s3.objects["/bucket/results/a"][0] == b"data"


def test_an_object_too_large_is_not_transferred(s3: SmallS3) -> None:
    s3.objects["/uploads/big"] = (b"x" * 5_000_000, "image/jpeg")
    with pytest.raises(ObjectTooLarge, match=r"'s3://uploads/big' has 5,000,000 bytes; at most 1,000 bytes are read"):
        _store().read("s3://uploads/big", 1000)


def test_other_buckets_are_not_even_asked(s3: SmallS3) -> None:
    for uri in ("s3://other/a", "s3://uploads-evil/a", "s3://bucket/private/a", "gs://uploads/a"):
        with pytest.raises(ForbiddenUri, match="lies outside"):
            _store().read(uri, 10)
    assert s3.requests == []


def test_a_refusal_is_final_and_names_the_credentials(s3: SmallS3) -> None:
    s3.misbehave = 403
    with pytest.raises(StoreError, match="The store refuses access to 's3://uploads/a'") as caught:
        _store().read("s3://uploads/a", 10)
    assert not caught.value.retriable
    assert caught.value.hint == "Check the worker's credentials for this bucket."
    assert "\n" not in str(caught.value)


def test_a_body_cut_short_is_never_taken_for_the_whole(s3: SmallS3) -> None:
    s3.objects["/uploads/a"] = (b"x" * 100_000, "image/jpeg")
    s3.misbehave = "cut"
    with pytest.raises(StoreUnavailable) as caught:
        _store().read("s3://uploads/a", 1_000_000)
    assert caught.value.retriable


@pytest.mark.parametrize("status", [500, 503])
def test_an_outage_can_be_tried_again(s3: SmallS3, status: int) -> None:
    s3.misbehave = status
    with pytest.raises(StoreUnavailable, match=r"The store didn't answer for 's3://uploads/a'") as caught:
        _store().read("s3://uploads/a", 10)
    assert caught.value.retriable
    assert "\n" not in str(caught.value)


def test_a_store_that_is_down_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with _serving() as server:
        port = server.server_address[1]
    _point_at(monkeypatch, port)
    with pytest.raises(StoreUnavailable) as caught:
        _store().write("a", b"data", "text/plain")
    assert caught.value.retriable


def test_a_cloud_without_an_account_is_a_matter_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"The client for az://container/ can't be made: .*[Aa]ccount"):
        _store("az://container/x").read("az://container/x/a", 10)


def test_a_store_in_memory_stays_in_its_process() -> None:
    with pytest.raises(StoreError, match="A store in memory can't be sent to another process"):
        pickle.dumps(_store("memory://"))


@pytest.mark.parametrize("url", ["s3://bucket/results", "s3://bucket", "memory://"])
def test_files_go_up_and_come_down_and_are_listed_and_removed(s3: SmallS3, tmp_path: Path, url: str) -> None:
    store = _store(url)
    (tmp_path / "small").write_bytes(b"data")
    large = os.urandom(20_000_000)
    (tmp_path / "large").write_bytes(large)
    small = store.put("a/small", tmp_path / "small", "text/plain")
    written = store.put("a/b/large", tmp_path / "large", "video/mp4")
    assert small.written
    assert written.written
    assert not store.put("a/b/large", tmp_path / "large", "video/mp4").written
    assert store.fetch(written.uri, tmp_path / "back", 20_000_000) == 20_000_000
    assert (tmp_path / "back").read_bytes() == large
    assert {(info.uri, info.size_bytes) for info in store.list("a")} == {(small.uri, 4), (written.uri, 20_000_000)}
    assert [info.uri for info in store.list("a/b")] == [written.uri]
    assert list(store.list("a/sm")) == []
    assert store.delete(written.uri)
    assert not store.delete(written.uri)
    assert [info.uri for info in store.list()] == [small.uri]


def test_a_large_file_goes_up_in_parts_and_keeps_its_media_type(s3: SmallS3, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    _store().put("large", tmp_path / "large", "video/mp4")
    assert {name: (len(body), kind) for name, (body, kind) in s3.objects.items()} == {
        "/bucket/results/large": (20_000_000, "video/mp4")
    }
    assert sum("partNumber" in request for request in s3.requests) == 3


def test_an_upload_that_fails_half_way_shows_nothing(s3: SmallS3, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    s3.misbehave = "no parts"
    with pytest.raises(StoreError, match="refuses access to 's3://bucket/results/large'"):
        _store().put("large", tmp_path / "large", "video/mp4")
    assert s3.objects == {}


def test_a_download_cut_short_leaves_no_file(s3: SmallS3, tmp_path: Path) -> None:
    s3.objects["/uploads/a"] = (b"x" * 3_000_000, "image/jpeg")
    s3.misbehave = "cut"
    with pytest.raises(StoreUnavailable):
        _store().fetch("s3://uploads/a", tmp_path / "a", 10_000_000)
    assert list(tmp_path.iterdir()) == []


def test_nothing_outside_the_store_is_listed_or_removed(s3: SmallS3) -> None:
    s3.objects["/bucket/private/a"] = (b"x", "text/plain")
    s3.objects["/bucket/results-old/a"] = (b"x", "text/plain")
    s3.objects["/uploads/a"] = (b"x", "text/plain")
    assert list(_store().list()) == []
    for uri in ("s3://bucket/private/a", "s3://bucket/results-old/a", "s3://uploads/a", "s3://bucket/results"):
        with pytest.raises(ForbiddenUri, match="lies outside the object store; only what is in it can be deleted"):
            _store().delete(uri)
    assert len(s3.objects) == 3


def test_a_listing_without_an_answer_can_be_tried_again(s3: SmallS3) -> None:
    s3.misbehave = 503
    with pytest.raises(StoreUnavailable, match="didn't answer for 's3://bucket/results'"):
        list(_store().list())
