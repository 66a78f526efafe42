"""Files in and out of a store that is a folder, listed and removed: never half, never outside, never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidemill.config import load_settings
from tidemill.errors import ForbiddenUri, ObjectMissing, ObjectTooLarge, StoreError
from tidemill.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "key").write_bytes(b"secret")
    return folder


@pytest.fixture
def store(tmp_path: Path, home: Path) -> Store:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "a.txt").write_bytes(b"hello")
    return Store.from_settings(load_settings(store_url=home.as_uri(), store_allow=[uploads.as_uri()]))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(5_000_000))
    return path


def _names(store: Store, prefix: str = "") -> list[str]:
    return [info.uri.removeprefix(store.home.uri + "/") for info in store.list(prefix)]


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_goes_in_and_comes_out_as_it_was(store: Store, tmp_path: Path, large: Path) -> None:
    written = store.put("videos/a.mp4", large, "video/mp4")
    assert written.written
    assert store.fetch(written.uri, tmp_path / "back", 5_000_000) == 5_000_000
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert _files(tmp_path / "objects") == ["a.mp4"]


def test_putting_what_is_there_writes_nothing_and_what_is_damaged_is_replaced(
    store: Store, home: Path, large: Path
) -> None:
    store.put("a", large, "video/mp4")
    before = (home / "a").stat().st_ino
    assert not store.put("a", large, "video/mp4").written
    assert (home / "a").stat().st_ino == before
    (home / "a").write_bytes(b"half")
    assert store.put("a", large, "video/mp4").written
    assert (home / "a").read_bytes() == large.read_bytes()
    assert _files(home) == ["a"]


@pytest.mark.parametrize("without", [None, "O_TMPFILE"])
def test_a_put_that_fails_half_way_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, store: Store, home: Path, large: Path, without: str | None
) -> None:
    real = os.write
    calls = 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patched:
        if without:
            patched.delattr(f"os.{without}", raising=False)
        patched.setattr("os.write", full)
        with pytest.raises(StoreError, match=r"objects/a' can't be used: No space left on device"):
            store.put("a", large, "video/mp4")
    assert calls > 2
    assert _files(home) == []
    assert store.put("a", large, "video/mp4").written


def test_putting_a_missing_file_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        store.put("a", tmp_path / "none", "video/mp4")


def test_putting_never_goes_through_a_link(store: Store, home: Path, secret: Path, large: Path) -> None:
    home.mkdir()
    (home / "folder").symlink_to(secret)
    (home / "link").symlink_to(secret / "key")
    for name in ("folder/evil", "link"):
        with pytest.raises(ForbiddenUri, match="is a symbolic link"):
            store.put(name, large, "video/mp4")
    assert _files(secret) == ["key"]
    assert (secret / "key").read_bytes() == b"secret"


def test_fetching_is_from_the_allowed_places_only(store: Store, tmp_path: Path, secret: Path) -> None:
    target = tmp_path / "out"
    assert store.fetch((tmp_path / "uploads" / "a.txt").as_uri(), target, 5) == 5
    (tmp_path / "uploads" / "link").symlink_to(secret / "key")
    for path in (secret / "key", tmp_path / "uploads" / "link"):
        with pytest.raises(ForbiddenUri):
            store.fetch(path.as_uri(), target, 1000)
    assert target.read_bytes() == b"hello", "a fetch that failed changed what was there"


def test_a_fetch_that_fails_leaves_no_file(store: Store, tmp_path: Path, large: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    uri = store.put("a", large, "video/mp4").uri
    with pytest.raises(ObjectTooLarge, match="has 5,000,000 bytes; at most 4,999,999 bytes are read"):
        store.fetch(uri, out / "a", 4_999_999)
    with pytest.raises(ObjectMissing):
        store.fetch(uri + "x", out / "a", 4_999_999)
    assert list(out.iterdir()) == []


def test_a_file_that_grows_while_it_is_fetched_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, store: Store, home: Path, tmp_path: Path, large: Path
) -> None:
    uri = store.put("a", large, "video/mp4").uri
    real = os.read

    def growing(descriptor: int, size: int) -> bytes:
        with (home / "a").open("ab") as more:
            more.write(b"x" * 500_000)
        return real(descriptor, size)

    monkeypatch.setattr("os.read", growing)
    with pytest.raises(ObjectTooLarge, match="grew while it was read"):
        store.fetch(uri, tmp_path / "out", 6_000_000)
    assert not (tmp_path / "out").exists()


def test_a_listing_names_everything_below_in_order_with_sizes(store: Store) -> None:
    for name in ("b", "a/x", "a/c/y", "ab/z"):
        store.write(name, name.encode(), "text/plain")
    assert _names(store) == ["a/c/y", "a/x", "ab/z", "b"]
    assert _names(store, "a") == ["a/c/y", "a/x"]
    assert _names(store, "a/c") == ["a/c/y"]
    assert [info.size_bytes for info in store.list("a")] == [5, 3]
    assert list(store.list("nothing/here")) == []
    assert list(store.list("b")) == [], "a file is no folder"


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list()) == []


def test_a_listing_never_follows_links_and_leaves_out_what_isnt_a_whole_file(
    store: Store, home: Path, secret: Path
) -> None:
    store.write("a", b"a", "text/plain")
    (home / "folder").symlink_to(secret)
    (home / "link").symlink_to(secret / "key")
    (home / ".0123.part").write_bytes(b"half")
    os.mkfifo(home / "pipe")
    assert _names(store) == ["a"]
    with pytest.raises(ForbiddenUri, match="folder' is a symbolic link"):
        list(store.list("folder"))


def test_every_listed_object_can_be_read_by_its_uri(store: Store, home: Path) -> None:
    home.mkdir()
    for name in ("with space", "é", "100%", "a%2e%2e", "q?x#y", "back\\slash", "line\nend"):
        (home / name).write_bytes(b"x")
    (home / os.fsdecode(b"\xff")).write_bytes(b"x")
    found = list(store.list())
    assert len(found) == 5, "those that no URI can name are left out"
    assert all(store.read(info.uri, 10) == b"x" for info in found)


@pytest.mark.parametrize("prefix", ["../x", "/x", "a//b", "a/", ".hidden", "a\0"])
def test_prefixes_are_plain(store: Store, prefix: str) -> None:
    with pytest.raises(ValueError, match="Object names are letters"):
        list(store.list(prefix))


def test_a_file_that_vanishes_during_a_listing_is_left_out(store: Store, home: Path) -> None:
    for name in ("a", "b/c", "d"):
        store.write(name, b"x", "text/plain")
    listing = store.list()
    assert next(listing).uri.endswith("/a")
    (home / "b" / "c").unlink()
    (home / "b").rmdir()
    assert [info.uri.rpartition("/")[2] for info in listing] == ["d"]


def test_deleting_tells_whether_something_was_there(store: Store, home: Path) -> None:
    uri = store.write("a/b", b"x", "text/plain").uri
    assert store.delete(uri)
    assert not store.delete(uri)
    assert not store.delete(store.home.uri + "/none/at/all")
    assert not (home / "a" / "b").exists()


def test_only_the_stores_own_files_are_deleted(store: Store, home: Path, tmp_path: Path, secret: Path) -> None:
    home.mkdir()
    (home / "folder").mkdir()
    (home / "out").symlink_to(secret)
    (home / "link").symlink_to(secret / "key")
    for path in (secret / "key", tmp_path / "uploads" / "a.txt", tmp_path / "objects-other", home):
        with pytest.raises(ForbiddenUri, match="lies outside the object store; only what is in it can be deleted"):
            store.delete(path.as_uri())
    for path in (home / "out" / "key", home / "link"):
        with pytest.raises(ForbiddenUri, match="is a symbolic link"):
            store.delete(path.as_uri())
    with pytest.raises(ForbiddenUri, match="is a folder"):
        store.delete((home / "folder").as_uri())
    with pytest.raises(ForbiddenUri, match="goes through"):
        store.delete(home.as_uri() + "/../secret/key")
    assert (secret / "key").read_bytes() == b"secret"


def test_a_prefix_inside_the_store_that_may_only_be_read_is_kept(home: Path) -> None:
    (home / "masters").mkdir(parents=True)
    (home / "masters" / "a").write_bytes(b"x")
    (home / "b").write_bytes(b"x")
    allow = [home.parent.as_uri(), (home / "masters").as_uri()]
    store = Store.from_settings(load_settings(store_url=home.as_uri(), store_allow=allow))
    with pytest.raises(ForbiddenUri, match="masters, which this worker may only read"):
        store.delete((home / "masters" / "a").as_uri())
    assert store.delete((home / "b").as_uri())
    assert (home / "masters" / "a").exists()


def test_no_descriptor_is_left_open(store: Store, home: Path, tmp_path: Path, large: Path) -> None:
    fds = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    before = len(list(fds.iterdir()))
    for _ in range(10):
        uri = store.put("a/b/c", large, "video/mp4").uri
        store.fetch(uri, tmp_path / "out", 10**7)
        next(store.list())
        assert len(list(store.list("a"))) == 1
        store.delete(uri)
        store.delete(uri)
        with pytest.raises(ForbiddenUri):
            store.delete((home / "a" / "b").as_uri())
    assert len(list(fds.iterdir())) == before
