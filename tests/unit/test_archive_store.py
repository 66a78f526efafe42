"""What the archive asks of the object store: an object that one of many makes, another name, and parts of a file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import ForbiddenUri, ObjectMissing, StoreError
from tidemill.store import Store, whole_file


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.from_urls(tmp_path.as_uri() if request.param == "folder" else "memory:///lake")


def test_of_many_who_claim_a_name_one_has_it(store: Store) -> None:
    won: list[bytes] = []
    assert not store.exists(store.uri("nothing"))  # a store in memory is made by its first use
    started = threading.Barrier(8)

    def claim(number: int) -> None:
        data = f"by {number}".encode() * 1000
        started.wait(10)
        if store.claim("_log/topic=a/000000000001.json", data):
            won.append(data)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.read(store.uri("_log/topic=a/000000000001.json"), 10_000)]


def test_a_claim_is_exclusive_where_there_are_no_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_file, "_link_unnamed", lambda *_: False)
    store = Store.from_urls(tmp_path.as_uri())
    assert [store.claim("a", b"1"), store.claim("a", b"2")] == [True, False]
    assert store.read(store.uri("a"), 10) == b"1"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208 - hidden ones are meant, too


def test_a_store_without_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.from_urls("memory:///lake")

    def put(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("obstore.put", put)
    with pytest.raises(StoreError, match="on the condition that nothing is there") as caught:
        store.claim("a", b"1")
    assert "AWS_CONDITIONAL_PUT" in (caught.value.hint or "")


def test_an_object_gets_another_name_and_has_no_other(store: Store) -> None:
    store.write("_staged/1.staged", b"data", "text/plain")
    uri = store.move("_staged/1.staged", "topic=a/date=2026-11-30/1.parquet")
    assert [each.uri for each in store.list()] == [uri]
    assert store.read(uri, 10) == b"data"
    with pytest.raises(ObjectMissing):
        store.move("_staged/1.staged", "topic=a/date=2026-11-30/2.parquet")
    assert [each.uri for each in store.list()] == [uri]


def test_a_link_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ForbiddenUri, match="symbolic link"):
        Store.from_urls((tmp_path / "store").as_uri()).move("link", "mine")


def test_parts_of_an_object_are_read(store: Store, tmp_path: Path) -> None:
    table = pa.table({"a": [*range(100_000)], "b": ["x" * 20] * 100_000})
    pq.write_table(table, tmp_path / "file.parquet")
    written = store.put("file.parquet", tmp_path / "file.parquet", "application/vnd.apache.parquet")
    with store.open(written.uri) as file:
        assert pq.ParquetFile(file).read(["a"]).column("a").to_pylist() == [*range(100_000)]
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"PAR1"
        assert file.read() == b""
    with pytest.raises(ObjectMissing):
        store.open(store.uri("nothing"))
