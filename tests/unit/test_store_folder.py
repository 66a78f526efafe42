"""Objects as files: nobody gets out of the allowed folders, and nothing is ever half written."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from pathlib import Path

import pytest

from tidemill.config import load_settings
from tidemill.errors import ForbiddenUri, ObjectMissing, ObjectTooLarge, StoreError
from tidemill.store import Store
from tidemill.store.folder import Folder


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.txt").write_bytes(b"hello")
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "key").write_bytes(b"secret")
    return folder


@pytest.fixture
def store(tmp_path: Path, uploads: Path) -> Store:
    return Store.from_settings(load_settings(store_url=(tmp_path / "objects").as_uri(), store_allow=[uploads.as_uri()]))


def _refused(store: Store, path: Path) -> str:
    started = time.monotonic()
    with pytest.raises(ForbiddenUri) as caught:
        store.read(path.as_uri(), 1000)
    assert time.monotonic() - started < 2, "refusing must not wait"
    return caught.value.message


def test_what_is_written_can_be_read_and_is_described(store: Store) -> None:
    written = store.write("images/ab/c.jpg", b"data", "image/jpeg")
    assert written.written
    assert store.read(written.uri, 10) == b"data"
    assert store.head(written.uri).size_bytes == 4
    assert store.exists(written.uri)
    assert not store.exists(written.uri + "x")


def test_writing_what_is_there_writes_nothing(tmp_path: Path, store: Store) -> None:
    first = store.write("images/c.jpg", b"data", "image/jpeg")
    file = tmp_path / "objects" / "images" / "c.jpg"
    before = file.stat()
    second = store.write("images/c.jpg", b"data", "image/jpeg")
    assert (second.uri, second.written) == (first.uri, False)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_object_is_replaced(tmp_path: Path, store: Store) -> None:
    uri = store.write("images/c.jpg", b"data", "image/jpeg").uri
    (tmp_path / "objects" / "images" / "c.jpg").write_bytes(b"da")
    assert store.write("images/c.jpg", b"data", "image/jpeg").written
    assert store.read(uri, 10) == b"data"
    assert [path.name for path in (tmp_path / "objects" / "images").iterdir()] == ["c.jpg"]


@pytest.mark.parametrize("without", ["O_TMPFILE", "/proc"])
def test_writing_works_where_unnamed_files_dont(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store, without: str
) -> None:
    if without == "O_TMPFILE":
        monkeypatch.delattr("os.O_TMPFILE", raising=False)
    else:

        def no_proc(*_: object, **__: object) -> None:
            raise FileNotFoundError

        monkeypatch.setattr("os.link", no_proc)
    assert store.write("images/c.jpg", b"data", "image/jpeg").written
    assert not store.write("images/c.jpg", b"data", "image/jpeg").written
    assert [path.name for path in (tmp_path / "objects" / "images").iterdir()] == ["c.jpg"]


def test_many_writers_of_one_object_leave_exactly_that_object(tmp_path: Path, store: Store) -> None:
    data = os.urandom(100_000)
    start = threading.Barrier(8)
    results: list[bool] = []

    def write() -> None:
        start.wait(timeout=10)
        results.append(store.write("images/x/same", data, "application/octet-stream").written)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(results) == 8
    assert sum(results) == 1
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "objects" / "images" / "x").iterdir()] == [
        ("same", data)
    ]


def test_a_write_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(StoreError, match=r"images/c.jpg' can't be used: No space left on device"):
            store.write("images/c.jpg", b"data", "image/jpeg")
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
    assert store.write("images/c.jpg", b"data", "image/jpeg").written


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/../b", ".hidden", "a b", "a\\b", "a\0", "", "x" * 300])
def test_names_are_plain(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="Object names are letters"):
        store.write(name, b"", "text/plain")


def test_only_the_store_and_the_allowed_prefixes_are_read(store: Store, uploads: Path, secret: Path) -> None:
    assert store.read((uploads / "inner" / "a.txt").as_uri(), 10) == b"hello"
    message = _refused(store, secret / "key")
    assert "lies outside the object store and the prefixes that this worker may read" in message


def test_a_missing_object_is_told_to_be_missing(store: Store, uploads: Path) -> None:
    for path in (uploads / "none", uploads / "none" / "deeper", uploads / "inner" / "a.txt" / "below"):
        with pytest.raises(ObjectMissing):
            store.read(path.as_uri(), 10)
    with pytest.raises(ObjectMissing):
        store.read(store.home.uri + "/nothing-written-yet", 10)


def test_a_limit_is_exact_and_larger_files_are_not_read(store: Store, uploads: Path) -> None:
    uri = (uploads / "inner" / "a.txt").as_uri()
    assert store.read(uri, 5) == b"hello"
    with pytest.raises(ObjectTooLarge, match=r"a\.txt' has 5 bytes; at most 4 bytes are read"):
        store.read(uri, 4)


def test_a_file_that_grows_while_it_is_read_is_cut_off(monkeypatch: pytest.MonkeyPatch, uploads: Path) -> None:
    real = os.read
    file = uploads / "inner" / "a.txt"

    def growing(descriptor: int, size: int) -> bytes:
        with file.open("ab") as more:
            more.write(b"x" * 1000)
        return real(descriptor, size)

    monkeypatch.setattr("os.read", growing)
    with pytest.raises(ObjectTooLarge, match="grew while it was read; at most 2,000 bytes"):
        Folder(uploads).read(("inner", "a.txt"), 2000)


def test_an_empty_file_is_read(store: Store, uploads: Path) -> None:
    (uploads / "empty").write_bytes(b"")
    assert store.read((uploads / "empty").as_uri(), 10) == b""


def test_a_symbolic_link_out_is_not_followed(store: Store, uploads: Path, secret: Path) -> None:
    (uploads / "link").symlink_to(secret / "key")
    assert _refused(store, uploads / "link").endswith("link' is a symbolic link; only regular files are read.")


def test_a_linked_parent_folder_is_not_followed(store: Store, uploads: Path, secret: Path) -> None:
    (uploads / "folder").symlink_to(secret)
    (uploads / "inner" / "up").symlink_to("../../secret")
    assert _refused(store, uploads / "folder" / "key").endswith(
        "folder' is a symbolic link; only regular files are read."
    )
    assert "up' is a symbolic link" in _refused(store, uploads / "inner" / "up" / "key")


def test_a_link_to_itself_is_refused(store: Store, uploads: Path) -> None:
    (uploads / "loop").symlink_to("loop")
    assert "symbolic link" in _refused(store, uploads / "loop")
    assert "symbolic link" in _refused(store, uploads / "loop" / "x")


def test_writing_never_goes_through_a_link(tmp_path: Path, store: Store, secret: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "images").symlink_to(secret)
    with pytest.raises(ForbiddenUri, match="images' is a symbolic link"):
        store.write("images/evil", b"data", "text/plain")
    (tmp_path / "objects" / "other").symlink_to(secret / "key")
    with pytest.raises(ForbiddenUri, match="other' is a symbolic link"):
        store.write("other", b"data", "text/plain")
    assert (secret / "key").read_bytes() == b"secret"
    assert len(list(secret.iterdir())) == 1


def test_the_allowed_folder_itself_may_be_a_link(tmp_path: Path, uploads: Path) -> None:
    (tmp_path / "by-another-name").symlink_to(uploads)
    store = Store.from_settings(
        load_settings(store_url=(tmp_path / "objects").as_uri(), store_allow=[(tmp_path / "by-another-name").as_uri()])
    )
    assert store.read((tmp_path / "by-another-name" / "inner" / "a.txt").as_uri(), 10) == b"hello"


def test_a_folder_swapped_for_a_link_at_any_moment_never_leaks(uploads: Path, secret: Path) -> None:
    # The attacker renames a real folder and a link over each other as fast as the machine can.
    (uploads / "real").mkdir()
    (uploads / "real" / "key").write_bytes(b"public")
    (uploads / "link").symlink_to(secret)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (uploads / "real").rename(uploads / "target")
            (uploads / "target").rename(uploads / "real")
            (uploads / "link").rename(uploads / "target")
            (uploads / "target").rename(uploads / "link")

    attacker = threading.Thread(target=swap)
    attacker.start()
    folder = Folder(uploads)
    seen: dict[str, int] = {}
    try:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            try:
                found = folder.read(("target", "key"), 100).decode()
            except (ForbiddenUri, ObjectMissing) as error:
                found = type(error).__name__
            seen[found] = seen.get(found, 0) + 1
    finally:
        stop.set()
        attacker.join(timeout=10)
    assert "secret" not in seen
    assert {"public", "ForbiddenUri"} <= seen.keys(), f"the race was not exercised: {seen}"


def test_a_folder_a_pipe_a_socket_and_a_device_are_refused_without_waiting(store: Store, uploads: Path) -> None:
    os.mkfifo(uploads / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(uploads)  # a socket's path has at most 108 characters
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert _refused(store, uploads / "inner").endswith("inner' is a folder; only regular files are read.")
        assert _refused(store, uploads / "pipe").endswith("pipe' is a named pipe; only regular files are read.")
        assert _refused(store, uploads / "socket").endswith("socket' is a socket; only regular files are read.")
    assert "is a folder" in _refused(store, uploads)
    everything = Store.from_settings(load_settings(store_url=uploads.as_uri(), store_allow=["file:///"]))
    assert _refused(everything, Path("/dev/zero")).endswith("zero' is a device; only regular files are read.")


def test_a_file_swapped_for_a_pipe_at_the_last_moment_is_refused_without_waiting(
    monkeypatch: pytest.MonkeyPatch, store: Store, uploads: Path
) -> None:
    real = os.stat

    def swap_after_looking(path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if path == "a.txt":
            (uploads / "inner" / "a.txt").unlink()
            os.mkfifo(uploads / "inner" / "a.txt")
        return found

    monkeypatch.setattr("os.stat", swap_after_looking)
    assert "is a named pipe" in _refused(store, uploads / "inner" / "a.txt")


def test_a_file_that_may_not_be_read_says_so(monkeypatch: pytest.MonkeyPatch, store: Store, uploads: Path) -> None:
    # Not by chmod: root, whom containers like to be, may read everything.
    real = os.open

    def closed(path: str, flags: int, *args: int, dir_fd: int | None = None) -> int:
        if path == "a.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, dir_fd=dir_fd)

    monkeypatch.setattr("os.open", closed)
    with pytest.raises(StoreError, match=r"a\.txt' can't be used: Permission denied") as caught:
        store.read((uploads / "inner" / "a.txt").as_uri(), 10)
    assert not caught.value.retriable


def test_a_name_too_long_for_the_file_system_is_an_error_of_the_store(store: Store, uploads: Path) -> None:
    with pytest.raises(StoreError, match="File name too long"):
        store.read((uploads / ("x" * 400)).as_uri(), 10)


def test_no_descriptor_is_left_open(store: Store, uploads: Path) -> None:
    (uploads / "link").symlink_to("inner")
    fds = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    before = len(list(fds.iterdir()))
    for _ in range(20):
        store.read((uploads / "inner" / "a.txt").as_uri(), 10)
        store.write("images/a/b", b"data", "text/plain")
        for bad in ("link/a.txt", "none/x", "inner", "inner/a.txt/x"):
            with pytest.raises(StoreError):
                store.read((uploads / bad).as_uri(), 10)
    assert len(list(fds.iterdir())) == before


def test_a_store_can_be_sent_to_another_process(store: Store, uploads: Path) -> None:
    store.read((uploads / "inner" / "a.txt").as_uri(), 10)
    there = pickle.loads(pickle.dumps(store))
    assert there.read((uploads / "inner" / "a.txt").as_uri(), 10) == b"hello"
