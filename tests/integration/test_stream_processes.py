"""Handlers in processes: whatever one does to its process, it takes only its own event with it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.integration import stream_samples
from tests.integration.steps import StepAsked, StepDone
from tests.integration.stream_samples import ACTS, LEDGER, in_batches, processes, starved
from tests.integration.working import (
    DONE,
    dead_letters,
    events,
    header,
    lag,
    messages,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill.config import Settings
from tidemill.errors import StreamError


def pool_processes() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "tidemill.runtime.executors.child_main" in child.cmdline()
    ]


async def test_every_end_of_a_process_becomes_its_dead_letter_and_the_pool_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    prepare(settings)
    expected = {
        "raise": ("LookupError", "no such invoice", 2),
        "reject": ("tidemill.errors.Reject", "not for us", 1),
        "unpicklable": ("RuntimeError", "Unpicklable: this and that", 2),
        "lock": ("RuntimeError", "HoldsALock: holds a lock", 2),
        "exit 3": ("tidemill.errors.HandlerDied", "ended under it (exit status 3)", 2),
        "exit 0": ("tidemill.errors.HandlerDied", "ended under it (exit status 0)", 2),
        "sys.exit": ("tidemill.errors.HandlerError", "called sys.exit(4)", 2),
        "SIGKILL": ("tidemill.errors.HandlerDied", "ended under it (killed by SIGKILL)", 2),
        "memory": ("MemoryError", "MemoryError", 2),
        "hang": ("tidemill.errors.HandlerTimeout", "longer than 1.5 s; its process was killed", 2),
        "grandchild": ("tidemill.errors.HandlerTimeout", "longer than 1.5 s; its process was killed", 2),
        "nothing good": ("TypeError", "found int: 42", 2),
        "KeyboardInterrupt": ("RuntimeError", "KeyboardInterrupt", 2),
    }
    # A SIGTERM to all processes of a service doesn't stop what is to be finished.
    assert set(expected) == set(ACTS) - {"SIGTERM"}
    publish(settings, [StepAsked(lane=act, number=0, note=act) for act in ACTS])
    publish(settings, [StepAsked(lane=act, number=1, note="") for act in ACTS])
    async with working(settings, processes) as worker:
        letters = {(each.key() or b"").decode(): each for each in await dead_letters(settings, len(expected))}
        await until(lambda: worker.finished == 2 * len(ACTS), "everything is through")
        assert await worker.stop() == 0
    found = {
        act: (header(each, "tm_dead_error").rpartition("stream_samples.")[2], header(each, "tm_dead_message"))
        for act, each in letters.items()
    }
    assert set(found) == set(expected)
    for act, (error, message, attempts) in expected.items():
        assert found[act][0] == error, act
        assert message in found[act][1], act
        assert header(letters[act], "tm_dead_attempts") == str(attempts), act
    trace = header(letters["raise"], "tm_dead_trace")
    assert "raise error" in trace
    assert stream_samples.__file__ in trace
    assert "executors/process.py" not in trace
    assert "threading.Lock()" not in header(letters["lock"], "tm_dead_trace")
    done = [event.payload for event in events(settings, StepDone)]
    assert sorted((payload.lane, payload.number) for payload in done) == sorted(
        [*((act, 1) for act in ACTS), ("SIGTERM", 0)]
    )
    assert lag(settings, processes) == 0
    # What a handler had started ended with it.
    grandchildren = [int(pid) for pid in (tmp_path / "ledger").read_text().split()]
    assert len(grandchildren) == 2
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in grandchildren)


async def test_processes_are_kept_renewed_when_they_die_idle_and_gone_at_the_end(settings: Settings) -> None:
    prepare(settings)
    publish(settings, steps("a", 20))
    async with working(settings, processes) as worker:
        await until_there(settings, DONE, 20)
        first = {int(event.payload.note) for event in events(settings, StepDone, 20)}
        assert len(first) <= 2
        assert os.getpid() not in first
        await until(lambda: worker.finished == 20, "all is through")
        # An out-of-memory killer takes idle ones as well.
        for process in pool_processes():
            process.kill()
            process.wait(5)
        publish(settings, steps("b", 20))
        await until_there(settings, DONE, 40)
        assert await worker.stop() == 0
    second = {int(event.payload.note) for event in events(settings, StepDone, 40) if event.payload.lane == "b"}
    assert second.isdisjoint(first)
    assert not pool_processes()
    assert lag(settings, processes) == 0


async def test_batches_and_generators_run_in_processes_too(settings: Settings) -> None:
    prepare(settings)
    publish(settings, [StepAsked(lane="a", number=n, note="poison" if n == 13 else "") for n in range(30)])
    async with working(settings, in_batches) as worker:
        (letter,) = await dead_letters(settings, 1)
        await until(lambda: worker.finished == 30, "everything is through")
        assert await worker.stop() == 0
    assert header(letter, "tm_dead_offset") == "13"
    assert header(letter, "tm_dead_error") == "ValueError"
    done = events(settings, StepDone, 29)
    assert [event.payload.number for event in done] == [n for n in range(30) if n != 13]
    assert len({event.id for event in done}) == 29


async def test_a_process_that_can_never_start_ends_the_worker_with_the_reason_and_costs_no_event(
    settings: Settings,
) -> None:
    prepare(settings)
    publish(settings, steps("a", 5))
    async with working(settings, starved) as worker:
        with pytest.raises(
            StreamError, match=r"A process for tests.integration.stream_samples:starved can't get ready"
        ):
            await worker.task
    assert not messages(settings, "step.asked.dead")
    assert lag(settings, starved) == 5


async def test_a_slow_handler_of_a_lost_partition_is_killed(settings: Settings) -> None:
    started = time.monotonic()
    prepare(settings)
    publish(settings, [StepAsked(lane="a", number=0, note="hang")])
    async with working(settings, processes) as worker:
        await until(lambda: len(pool_processes()) == 1, "the handler's process runs")
        (engine,) = worker.engines
        await until(lambda: any(slot.unit for slot in engine.slots), "the handler runs")
        (pid,) = [process.pid for process in pool_processes()]
        engine.lose(list(engine.parts))
        await until(lambda: not psutil.pid_exists(pid), "its process is gone")
    assert not messages(settings, "step.asked.dead")
    assert time.monotonic() - started < 20
