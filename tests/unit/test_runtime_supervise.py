"""`tidemill worker` turns into a small program that starts worker processes, and starts those again that end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.worker_program import Program, gone, program
from tests.integration.working import wait_until
from tidemill.cli import worker as worker_command
from tidemill.runtime import supervisor
from tidemill.runtime import worker as worker_process
from tidemill.runtime.orders import Orders
from tidemill.runtime.recorder import Suspect
from tidemill.runtime.supervise import Supervision
from tidemill.runtime.supervisor_log import SupervisorLog

ENDS_AT_ONCE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
WAITS = "import signal; signal.pause()"
MOST_BYTES = 20_000_000
"""It takes half of it; a command line's libraries alone are more."""

HELD = """
import os, signal, sys
from tidemill.cli.app import build
execv = os.execv
def execv_late(*arguments):
    os.kill(os.getpid(), signal.{signal})
    execv(*arguments)
os.execv = execv_late
build()(["worker", "shop:stream"])
"""
"""The command, to which a signal comes in the moment that it is no longer itself and not yet a supervisor."""


def environment(folder: Path, module: str, **more: str) -> dict[str, str]:
    """In which worker processes import this module `shop` when they look for their streams."""
    (folder / "shop.py").write_text(module)
    return {**os.environ, "PYTHONPATH": str(folder), "TIDEMILL_LOG_FORMAT": "json", **more}


def worker(folder: Path, module: str, *arguments: str, **more: str) -> Any:
    """`tidemill worker shop:stream`, as a context manager."""
    command = [sys.executable, "-m", "tidemill", "worker", "shop:stream", *arguments]
    return program(command, environment(folder, module, **more), folder)


def wait_for_workers(started: Program, count: int) -> list[psutil.Process]:
    """Its worker processes, once there are so many."""
    wait_until(lambda: len(started.workers()) == count, f"{count} worker processes run")
    return started.workers()


def test_what_it_is_told_comes_through_unchanged() -> None:
    orders = Orders(["image", "a:b"], 3, 2.5, suspects=[Suspect(1, 2, 3, 4, deaths=2)])
    supervision = Supervision(4, orders, SupervisorLog("console", "error"))
    assert Supervision.from_argument(supervision.to_argument()) == supervision


def test_it_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import tidemill.runtime.supervise; print(*(set(sys.modules) - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "tidemill.runtime.supervisor" in said
    assert {name.partition(".")[0] for name in said} - sys.stdlib_module_names == {"tidemill"}


def test_the_command_keeps_its_process_and_becomes_small(tmp_path: Path) -> None:
    with worker(tmp_path, WAITS, "--processes", "2") as started:
        children = wait_for_workers(started, 2)
        itself = psutil.Process(started.process.pid)
        assert itself.cmdline()[1:3] == ["-m", "tidemill.runtime.supervise"]
        assert [child.ppid() for child in children] == [itself.pid] * 2
        assert itself.memory_info().rss < MOST_BYTES
        assert started.end() == 0
        gone(children)
        assert started.said == ""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_the_command_and_its_supervisor_ends_it_in_good_order(
    tmp_path: Path, signum: signal.Signals
) -> None:
    code = HELD.format(signal=signum.name)
    with program([sys.executable, "-c", code], environment(tmp_path, WAITS), tmp_path) as started:
        assert started.process.wait(30) == 0
        assert started.said == ""


def test_two_signals_in_a_row_end_processes_that_are_still_starting(tmp_path: Path) -> None:
    with worker(tmp_path, WAITS) as started:
        children = wait_for_workers(started, 1)
        started.process.send_signal(signal.SIGINT)
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(10) == 0
        gone(children)


def test_one_that_ends_again_and_again_is_started_ever_more_slowly_and_each_end_is_told(tmp_path: Path) -> None:
    with worker(tmp_path, ENDS_AT_ONCE) as started:
        wait_until(lambda: len(started.log) >= 3, "three ends are told")
        assert started.end() == 0
        entries = started.log[:3]
    killed = "worker process 0 was killed by SIGKILL; starting it again in"
    assert [entry["event"] for entry in entries] == [f"{killed} {seconds} s" for seconds in ("0.5", "1", "2")]
    assert {(entry["level"], entry["logger"]) for entry in entries} == {("error", "tidemill.supervisor")}


def test_lines_are_for_people_where_the_settings_say_so(tmp_path: Path) -> None:
    with worker(tmp_path, ENDS_AT_ONCE, TIDEMILL_LOG_FORMAT="console") as started:
        wait_until(lambda: started.said.endswith("\n"), "an end is told")
        assert started.end() == 0
    assert "[error    ] worker process 0 was killed by SIGKILL" in started.said.splitlines()[0]


def test_streams_that_can_not_run_end_it_with_the_status_for_it(tmp_path: Path) -> None:
    with worker(tmp_path, "stream = 1", "--processes", "2") as started:
        assert started.process.wait(30) == worker_process.EXIT_REFUSED
        (entry, *_) = started.logged("can't run")
        assert entry["error"] == "shop:stream is a int, not a stream."


def test_settings_that_can_not_be_used_end_it_with_the_same_status(tmp_path: Path) -> None:
    with worker(tmp_path, WAITS, TIDEMILL_LOG_FORMAT="loud") as started:
        assert started.process.wait(30) == worker_process.EXIT_REFUSED
        assert "log_format: Input should be 'auto', 'console' or 'json', found 'loud'" in started.said


def test_the_supervisor_and_its_processes_mean_the_same_by_a_status() -> None:
    assert {worker_process.EXIT_UNAVAILABLE, worker_process.EXIT_REFUSED} == supervisor.REFUSED
    assert worker_process.EXIT_RECYCLE == supervisor.RECYCLE
    assert worker_process.EXIT_REFUSED == worker_command.EXIT_REFUSED


def test_its_line_in_a_list_of_processes_shows_what_it_runs(tmp_path: Path) -> None:
    with worker(tmp_path, WAITS, "--concurrency", "3") as started:
        wait_for_workers(started, 1)
        told = json.loads(psutil.Process(started.process.pid).cmdline()[-1])
        assert (told["processes"], told["orders"]["streams"], told["orders"]["concurrency"]) == (1, ["shop:stream"], 3)
        assert started.end() == 0
