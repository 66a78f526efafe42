"""Worker processes and their supervisor: signals, deaths and restarts, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.integration.steps import StepAsked
from tests.integration.stream_samples import ledger, ledger_process
from tests.integration.worker_program import gone, noted, tidemill_worker, worker_process
from tests.integration.working import lag, prepare, publish, wait_until
from tidemill.config import Settings

LEDGER = "tests.integration.stream_samples:ledger"
LEDGER_PROCESS = "tests.integration.stream_samples:ledger_process"
STUBBORN = "tests.integration.stream_samples:stubborn"
BLOCKING = "tests.integration.stream_samples:blocking_when_stopped"


def slow_steps(count: int, milliseconds: int) -> list[StepAsked]:
    return [
        StepAsked(lane=f"lane-{lane}", number=n, note=str(milliseconds)) for n in range(count) for lane in range(10)
    ]


@pytest.mark.parametrize("kind", ["async", "process"])
def test_sigterm_finishes_what_runs_commits_it_and_hands_the_rest_back(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    stream, name = (ledger, LEDGER) if kind == "async" else (ledger_process, LEDGER_PROCESS)
    prepare(settings)
    publish(settings, slow_steps(2, 300))
    with worker_process(settings, tmp_path, name) as worker:
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        assert worker.end() == 0
    assert sorted(noted(tmp_path, "START")) == sorted(noted(tmp_path, "DONE"))
    done = len(noted(tmp_path, "DONE"))
    assert 0 < done < 20
    # Some that are done may lie behind one that isn't.
    assert lag(settings, stream) >= 20 - done
    with worker_process(settings, tmp_path, name) as worker:
        wait_until(lambda: len(set(noted(tmp_path, "DONE"))) == 20, "the rest is done")
        assert worker.end() == 0
    assert lag(settings, stream) == 0


def test_a_second_signal_ends_at_once(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(1, 60_000))
    with worker_process(settings, tmp_path, LEDGER) as worker:
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for("stopping")
        started = time.monotonic()
        assert worker.end(signal.SIGINT) == 70
        assert time.monotonic() - started < 5
    assert lag(settings, ledger) == 10


def test_what_isn_t_finished_in_time_is_handed_back(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(1, 60_000))
    with worker_process(settings, tmp_path, LEDGER, drain_seconds=3.0) as worker:
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        started = time.monotonic()
        assert worker.end() == 0
        # Their handlers take a minute.
        assert time.monotonic() - started < 20
        assert worker.logged("handing back what is not finished")
    assert lag(settings, ledger) == 10


def test_the_deadline_ends_a_worker_whose_loop_is_blocked(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(1, 0))
    with worker_process(settings, tmp_path, BLOCKING, drain_seconds=2.0) as worker:
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        started = time.monotonic()
        assert worker.end() == 70
        assert 1.5 < time.monotonic() - started < 20
        assert worker.logged("not finished in time, ending now")


def test_a_handler_that_ignores_its_cancellation_ends_the_process_with_the_status_for_a_new_one(
    settings: Settings, tmp_path: Path
) -> None:
    prepare(settings)
    publish(settings, [StepAsked(lane="stubborn", number=0, note="ignore"), StepAsked(lane="a", number=0)])
    with worker_process(settings, tmp_path, STUBBORN) as worker:
        assert worker.process.wait(30) == 75
        assert len(worker.logged("dead letter")) == 1
    assert noted(tmp_path, "DONE") == [("a", 0)]


def test_sigterm_at_any_moment_of_the_start_ends_in_good_order(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    for after_seconds in (0.0, 0.2, 0.5, 0.9, 1.4):
        with tidemill_worker(settings, tmp_path, LEDGER, "--processes", "2") as supervisor:
            time.sleep(after_seconds)
            below = supervisor.descendants()
            # A signal that comes before Python's first line ends the supervisor; it has started nothing yet.
            assert supervisor.end() in ((0, -signal.SIGTERM) if not below else (0,)), supervisor.said
            gone(below)
            assert "Traceback" not in supervisor.said


def test_ctrl_c_ends_supervisor_workers_and_pools(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(10, 300))
    with tidemill_worker(settings, tmp_path, LEDGER_PROCESS, "--processes", "2") as supervisor:
        supervisor.wait_for("assigned", 2)
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        below = supervisor.descendants()
        assert len(supervisor.workers()) == 2
        # As a terminal does: to the whole process group in the foreground.
        os.killpg(supervisor.process.pid, signal.SIGINT)
        assert supervisor.process.wait(30) == 0
        gone(below)
        assert "Traceback" not in supervisor.said
    assert sorted(noted(tmp_path, "START")) == sorted(noted(tmp_path, "DONE"))


def test_two_signals_in_a_row_end_all_at_once(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(1, 60_000))
    with tidemill_worker(settings, tmp_path, LEDGER) as supervisor:
        wait_until(lambda: noted(tmp_path, "START"), "events run")
        below = supervisor.descendants()
        started = time.monotonic()
        supervisor.process.send_signal(signal.SIGINT)
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.process.wait(10) == 70
        assert time.monotonic() - started < 5
        gone(below)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_kill_9_of_the_supervisor_ends_its_workers_and_their_pools(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(4, 200))
    with tidemill_worker(settings, tmp_path, LEDGER_PROCESS, "--processes", "2") as supervisor:
        wait_until(lambda: len(supervisor.descendants()) >= 4, "workers and pools run")
        below = supervisor.descendants()
        assert supervisor.end(signal.SIGKILL) == -signal.SIGKILL
        gone(below)
    # The workers had the time to finish.
    assert sorted(noted(tmp_path, "START")) == sorted(noted(tmp_path, "DONE"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_killed_worker_takes_its_pool_along_and_is_started_again(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, slow_steps(2, 200))
    with tidemill_worker(settings, tmp_path, LEDGER_PROCESS) as supervisor:
        wait_until(lambda: len(supervisor.descendants()) == 3, "a worker and its pool run")
        (worker,) = supervisor.workers()
        pool = worker.children()
        worker.kill()
        gone(pool)
        wait_until(lambda: len(set(noted(tmp_path, "DONE"))) == 20, "another worker does the rest")
        (other,) = supervisor.workers()
        assert other.pid != worker.pid
        assert "worker process 0 was killed by SIGKILL; starting it again in 0.5 s" in supervisor.said
        assert supervisor.end() == 0
    assert lag(settings, ledger_process) == 0


def test_what_can_not_run_is_told_and_not_tried_again(settings: Settings, tmp_path: Path) -> None:
    for arguments, variables, status, reason in (
        ([LEDGER], {}, 78, "Topics are missing"),
        (["tests.integration.stream_samples:nothing"], {}, 78, "has no 'nothing'"),
        ([LEDGER], {"TIDEMILL_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, 69, "No Kafka broker answers at 127.0.0.1:9"),
    ):
        with tidemill_worker(settings, tmp_path, *arguments, "--processes", "2", **variables) as supervisor:
            assert supervisor.process.wait(30) == status, supervisor.said
            reasons = [entry for entry in supervisor.logged("can't run") if reason in entry["error"]]
            assert reasons, supervisor.said
            assert "starting it again" not in supervisor.said
