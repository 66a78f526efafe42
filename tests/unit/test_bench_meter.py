"""The meter counts the same from inside and from outside, whoever forks or runs threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.meter import Meter, ThreadedMeter, read, read_delays


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_METER", str(tmp_path))
    monkeypatch.setenv("BENCH_COUNT", "3")
    return tmp_path


def test_nothing_is_read_before_the_first_event(folder: Path) -> None:
    Meter()
    assert (read(folder).count, read(folder).first_at) == (0, None)


def test_events_are_counted_and_the_first_has_a_time(folder: Path) -> None:
    before = time.monotonic()
    meter = Meter()
    meter.tick()
    meter.tick(500)
    reading = read(folder)
    assert reading.count == 501
    assert reading.first_at is not None
    assert before <= reading.first_at <= time.monotonic()


def test_delays_are_those_of_the_events_that_carried_a_time(folder: Path) -> None:
    meter = Meter()
    meter.tick()
    meter.late(time.time() - 2.0)
    (delay,) = read_delays(folder, after={})
    assert 2.0 <= delay < 3.0


def test_earlier_delays_can_be_left_out(folder: Path) -> None:
    meter = Meter()
    meter.late(time.time() - 9.0)
    earlier = read(folder).counts
    meter.late(time.time() - 2.0)
    assert [round(delay) for delay in read_delays(folder, after=earlier)] == [2]


def test_more_delays_than_there_is_room_for_are_counted_but_not_noted(folder: Path) -> None:
    meter = Meter()
    for _ in range(5):
        meter.late(time.time() - 1.0)
    assert read(folder).count == 5
    assert len(read_delays(folder, after={})) == 3


def test_a_forked_child_counts_for_itself(folder: Path) -> None:
    # In an interpreter of its own: forking one that has threads is what Python warns of.
    code = (
        "import os; from bench.meter import Meter; meter = Meter(); meter.tick();"
        "child = os.fork(); meter.tick(10);"
        "child and os.waitpid(child, 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], env={**os.environ})
    assert sorted(read(folder).counts.values()) == [10, 11]


def test_threads_lose_no_count(folder: Path) -> None:
    meter = ThreadedMeter()

    def count() -> None:
        for _ in range(5_000):
            meter.tick()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(folder).count == 40_000


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_METER", raising=False)
    monkeypatch.chdir(tmp_path)
    Meter().tick()
    assert list(tmp_path.iterdir()) == []
