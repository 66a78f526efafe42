"""Fetching and keeping what the local stack runs, against a small Maven repository on this machine."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tidemill.errors import LocalError
from tidemill.local import cache, ports, repository
from tidemill.local.artifacts import Artifact, Package
from tidemill.local.progress import Silent

JARS = {"one": b"first jar " * 1000, "two": b"second jar " * 5000}


class Repository:
    """A Maven repository whose answers a test can spoil."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.truncate: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        repository_ = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                repository_.asked[name] += 1
                if name not in repository_.files:
                    self.send_error(404)
                    return
                content = repository_.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if repository_.truncate[name] > 0:
                    repository_.truncate[name] -= 1
                    content = content[: len(content) // 2]
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def remotes(self) -> dict[str, str]:
        return {"test": f"http://127.0.0.1:{self.server.server_port}"}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def maven() -> Iterator[Repository]:
    repository_ = Repository()
    repository_.files = {f"{name}-1.0.jar": content for name, content in JARS.items()}
    yield repository_
    repository_.stop()


@pytest.fixture(autouse=True)
def unclosed_answers_stay_here() -> Iterator[None]:
    """jgo 3.2 doesn't close an answer that it rejects; collect it here, so that no later test is blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = repository.fetch
    monkeypatch.setattr(repository, "fetch", lambda *args, **kwargs: fetch(*args, **kwargs, pause_seconds=0.0))


def artifact(name: str, content: bytes) -> Artifact:
    return Artifact(f"org.example:{name}:1.0", hashlib.sha256(content).hexdigest(), len(content))


def jars() -> Package:
    artifacts = tuple(artifact(name, content) for name, content in JARS.items())
    return Package("kafka", "Example", "1.0", (), False, artifacts)


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Recorder(Silent):
    def __init__(self) -> None:
        self.expected_bytes = 0
        self.seen_bytes = 0

    def fetch_started(self, title: str, total_bytes: int) -> None:
        self.expected_bytes += total_bytes

    def fetch_advanced(self, title: str, byte_count: int) -> None:
        self.seen_bytes += byte_count


def leftovers(folder: Path) -> list[str]:
    """Everything below the cache that isn't a wanted file, its stamp or the lock."""
    wanted = {f"{name}-1.0.jar" for name in JARS} | {cache.STAMP, "fetch.lock"}
    return [str(path) for path in folder.rglob("*") if path.is_file() and path.name not in wanted]


def test_files_are_fetched_once_and_then_taken_from_the_cache(maven: Repository, tmp_path: Path) -> None:
    [folder] = cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert {name: (folder / f"{name}-1.0.jar").read_bytes() for name in JARS} == JARS
    asked = maven.asked.total()

    cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert maven.asked.total() == asked
    assert leftovers(tmp_path) == []


def test_progress_counts_every_byte_once_even_when_a_file_is_fetched_twice(maven: Repository, tmp_path: Path) -> None:
    maven.truncate["two-1.0.jar"] = 1
    recorder = Recorder()
    cache.ensure([jars()], tmp_path, progress=recorder, remotes=maven.remotes)
    assert recorder.seen_bytes == recorder.expected_bytes == sum(map(len, JARS.values()))


def test_a_truncated_download_is_fetched_again(maven: Repository, tmp_path: Path) -> None:
    maven.truncate["two-1.0.jar"] = 1
    [folder] = cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert (folder / "two-1.0.jar").read_bytes() == JARS["two"]
    assert leftovers(tmp_path) == []


def test_a_download_that_stays_truncated_is_a_clear_error_and_the_next_try_heals(
    maven: Repository, tmp_path: Path
) -> None:
    maven.truncate["two-1.0.jar"] = repository.ATTEMPTS
    with pytest.raises(LocalError, match=r"two-1\.0\.jar can't be fetched .*what is already fetched is kept"):
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert not (tmp_path / "kafka-1.0" / "two-1.0.jar").exists()
    assert leftovers(tmp_path) == []

    [folder] = cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert (folder / "two-1.0.jar").read_bytes() == JARS["two"]


def test_a_file_with_another_sum_is_refused_and_removed(maven: Repository, tmp_path: Path) -> None:
    maven.files["one-1.0.jar"] = b"other content" + JARS["one"][13:]
    with pytest.raises(
        LocalError, match=r"one-1\.0\.jar has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}; it was remov"
    ):
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert not (tmp_path / "kafka-1.0" / "one-1.0.jar").exists()


def test_a_file_that_the_repository_lacks_is_named_and_asked_for_once(maven: Repository, tmp_path: Path) -> None:
    del maven.files["one-1.0.jar"]
    with pytest.raises(LocalError, match=r"one-1\.0\.jar can't be fetched from http://127\.0\.0\.1:\d+.*jgo\.conf"):
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert maven.asked["one-1.0.jar"] == 1


def test_no_network_is_a_clear_error(tmp_path: Path) -> None:
    [nobody_listens] = ports.any_free(1)
    with pytest.raises(LocalError, match="Check the network") as caught:
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes={"test": f"http://127.0.0.1:{nobody_listens}"})
    assert caught.value.retriable


def test_too_little_room_is_seen_before_anything_is_fetched(
    maven: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(total=1_000, used=999, free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(LocalError, match=r"No room on the disk for Example 1\.0.*TIDEMILL_CACHE_DIR"):
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert maven.asked.total() == 0


def test_a_disk_that_fills_up_meanwhile_is_a_clear_error(
    maven: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_artifact: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(repository, "_verify", full)
    with pytest.raises(LocalError, match=r"No room on the disk for (one|two)-1\.0\.jar"):
        cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert leftovers(tmp_path) == []


def test_a_file_damaged_in_the_cache_is_fetched_again_and_only_that_one(maven: Repository, tmp_path: Path) -> None:
    [folder] = cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    (folder / "one-1.0.jar").write_bytes(b"x" * len(JARS["one"]))
    maven.asked.clear()

    cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert (folder / "one-1.0.jar").read_bytes() == JARS["one"]
    assert maven.asked["one-1.0.jar"] == 1
    assert maven.asked["two-1.0.jar"] == 0


def test_what_an_interrupted_fetch_or_an_older_lock_left_is_removed(maven: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "kafka-1.0"
    (folder / f"{repository.PARTIAL_PREFIX}abc").mkdir(parents=True)
    (folder / f"{repository.PARTIAL_PREFIX}abc" / "half.jar").write_bytes(b"half")
    (folder / "one-0.9.jar").write_bytes(b"older")
    cache.ensure([jars()], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert sorted(path.name for path in folder.iterdir()) == sorted([cache.STAMP, "one-1.0.jar", "two-1.0.jar"])


def test_an_archive_is_unpacked_and_a_file_missing_later_brings_it_back(maven: Repository, tmp_path: Path) -> None:
    content = archive({"run.jar": b"run", "lib/main/dependency.jar": b"dependency"})
    maven.files["app-1.0-all.tar.gz"] = content
    wanted = Artifact("org.example:app:1.0:all:tar.gz", hashlib.sha256(content).hexdigest(), len(content))
    package = Package("registry", "Example", "1.0", (), True, (wanted,))

    [folder] = cache.ensure([package], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert (folder / "lib/main/dependency.jar").read_bytes() == b"dependency"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetch.lock", "registry-1.0"]

    (folder / "run.jar").unlink()
    cache.ensure([package], tmp_path, progress=Silent(), remotes=maven.remotes)
    assert (folder / "run.jar").read_bytes() == b"run"


def test_two_processes_that_fetch_at_once_share_one_download(maven: Repository, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.unit.test_local_fetch import jars, cache, Silent;"
        "cache.ensure([jars()], Path(sys.argv[1]), progress=Silent(), remotes={'test': sys.argv[2]})"
    )
    root = Path(__file__).parents[2]
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), maven.remotes["test"]], cwd=root)
        for _ in range(2)
    ]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert maven.asked["one-1.0.jar"] == maven.asked["two-1.0.jar"] == 1


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LocalError, match=r"The cache folder .*file/cache can't be written"):
        cache.ensure([jars()], tmp_path / "file" / "cache", progress=Silent(), remotes={})


def test_calling_off_a_fetch_stops_it_at_the_next_chunk(maven: Repository, tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(repository.Cancelled):
        repository.fetch(
            artifact("two", JARS["two"]),
            tmp_path,
            remotes=maven.remotes,
            on_bytes=lambda _count: None,
            cancelled=cancelled,
        )
    assert list(tmp_path.iterdir()) == []
