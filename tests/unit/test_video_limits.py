"""What ffmpeg may take: each limit ends it, says so, and leaves neither a process nor a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streams.video import workspace as workspaces
from streams.video.confined import Limits, confined
from streams.video.failure import failure
from streams.video.settings import VideoSettings, load_video_settings
from streams.video.workspace import check_room, sweep, workspace
from tests.unit.video_samples import TRAVEL, Bench
from tidemill.errors import ConfigError, HandlerDied, HandlerError, HandlerTimeout, Reject, RetryAfter
from tidemill.events import VideoOutput

SLOW = [VideoOutput(name="slow", container="webm", crf=10)]
WAIT_SECONDS = 20.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, {"webm_speed": 0})
    before = {*psutil.Process().children(recursive=True)}  # Kafka, where this process has run other tests
    yield bench
    assert {*psutil.Process().children(recursive=True)} <= before
    assert bench.left_behind() == []
    assert bench.objects() == {}


def test_ffmpeg_is_killed_when_its_time_is_over(bench: Bench) -> None:
    began = time.monotonic()
    with pytest.raises(HandlerTimeout, match="not done in time"):
        bench.process(TRAVEL, SLOW, remaining_seconds=1.0)
    assert time.monotonic() - began < 5.0


def test_more_processor_time_than_allowed_is_a_dead_letter(bench: Bench) -> None:
    bench.settings["max_cpu_seconds"] = 1
    with pytest.raises(Reject, match="more processor time"):
        bench.process(TRAVEL, SLOW)


def test_a_larger_file_than_allowed_is_a_dead_letter(bench: Bench) -> None:
    bench.settings["max_output_bytes"] = 50_000
    with pytest.raises(Reject, match="larger than ffmpeg may write"):
        bench.process(TRAVEL, [VideoOutput(name="large", container="mp4", crf=0)])


def test_memory_is_limited_by_the_system() -> None:
    greedy = [sys.executable, "-c", "bytearray(400_000_000)"]
    limits = Limits(cpu_seconds=60, memory_bytes=300_000_000, file_bytes=1000)
    done = subprocess.run(confined(limits, greedy), capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


def test_a_confined_program_ends_with_its_parent(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    program = f"import os, pathlib, time; pathlib.Path({str(said)!r}).write_text(str(os.getpid())); time.sleep(300)"
    parent = (
        "import subprocess, sys; from streams.video.confined import Limits, confined;"
        f"subprocess.run(confined(Limits(60, 10**9, 10**6), [sys.executable, '-c', {program!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (said.exists() and said.read_text()):
            assert time.monotonic() < deadline, "the program doesn't start"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs([psutil.Process(int(said.read_text()))] if _exists(said) else [], WAIT_SECONDS)
    assert alive == []


def _exists(said: Path) -> bool:
    return psutil.pid_exists(int(said.read_text()))


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (-signal.SIGKILL, "", HandlerDied, "ended by SIGKILL"),
        (-signal.SIGSEGV, "", Reject, "crashed on the video"),
        (-signal.SIGXFSZ, "", Reject, "larger than ffmpeg may write"),
        (1, "[mp4 @ 0x1] Error writing trailer: No space left on device", RetryAfter, "disk"),
        (244, "[h264 @ 0x1] Cannot allocate memory", Reject, "more memory"),
        (1, "Unknown encoder 'libx264'", HandlerError, "lacks something"),
        (
            183,
            "[in#0 @ 0x1] moov atom not found\nError opening input file fd:.",
            Reject,
            "decoded: moov atom not found.",
        ),
    ],
)
def test_why_ffmpeg_ended_decides_what_becomes_of_the_event(
    code: int, said: str, kind: type[HandlerError], words: str
) -> None:
    error = failure(code, said, cpu_spent=False)
    assert type(error) is kind
    assert words in str(error)


def test_what_ffmpeg_says_comes_out_on_one_printable_line() -> None:
    said = str(failure(1, "[x @ 0x1] bad \x1b[31mname\r\n\x00" + "y" * 5000, cpu_spent=False))
    assert said.isprintable()
    assert len(said) < 600


def test_a_folder_goes_with_its_try_even_if_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with workspace(tmp_path) as folder:
            (folder / "half").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_left_goes_with_the_next_try_and_a_living_ones_stays(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from streams.video.workspace import workspace\n"
        "with workspace(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'source').write_bytes(b'half'); print(folder, flush=True); time.sleep(300)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    try:
        assert sweep(tmp_path) == []
        assert (left / "source").exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with workspace(tmp_path) as folder:
        assert not left.exists()
        assert sorted(each.name for each in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_work_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError, match="is a link"), workspace(tmp_path / "link"):
        pytest.fail("it was used")


def test_a_work_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user"), workspace(tmp_path):
        pytest.fail("it was used")


def test_too_little_room_on_the_disk_means_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(10_000, 5_000, 5_000)
    monkeypatch.setattr(workspaces.shutil, "disk_usage", lambda _: usage)  # type: ignore[attr-defined]
    check_room(tmp_path / "x", 2_000, 1_000)
    with pytest.raises(RetryAfter, match="5,000 bytes free; this video needs 5,002") as caught:
        check_room(tmp_path / "x", 2_001, 1_000)
    assert caught.value.seconds == 60


def test_another_ffmpeg_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"ffmpeg": tmp_path / "nowhere"})
    with pytest.raises(ConfigError, match="There is no ffmpeg at"):
        bench.process(TRAVEL)


def test_settings_that_make_no_sense_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_VIDEO_MAX_SIDE", "4")
    monkeypatch.setenv("TIDEMILL_VIDEO_FORMATS", '["hls"]')
    with pytest.raises(ConfigError, match="TIDEMILL_VIDEO_FORMATS") as caught:
        load_video_settings()
    assert "TIDEMILL_VIDEO_MAX_SIDE" in str(caught.value)
    monkeypatch.undo()
    assert load_video_settings() == VideoSettings()
