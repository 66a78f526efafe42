"""Events that kill the worker that handles them: found out, and put aside, without harm to the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.integration.steps import StepAsked
from tests.integration.stream_samples import LEDGER, pills, stubborn_batches
from tests.integration.worker_program import noted, tidemill_worker
from tests.integration.working import dead_letters, header, lag, prepare, publish, steps, wait_until
from tidemill.config import Settings

SAMPLES = "tests.integration.stream_samples:"


async def test_an_event_that_kills_its_worker_becomes_a_dead_letter(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    good = [step for lane in range(20) for step in steps(f"lane-{lane}", 10)]
    publish(
        settings, [*good[:100], StepAsked(lane="pill", number=0, note="SIGKILL"), *steps("pill", 3)[1:], *good[100:]]
    )
    ledger = str(tmp_path / "ledger")
    with tidemill_worker(settings, tmp_path, SAMPLES + "pills", **{LEDGER: ledger}) as worker:
        wait_until(lambda: lag(settings, pills) == 0, "all is handled", 60)
        (letter,) = await dead_letters(settings, 1)
        assert worker.end() == 0
    assert header(letter, "tm_dead_error") == "tidemill.errors.HandlerDied"
    assert header(letter, "tm_dead_attempts") == "3"
    starts = Counter(noted(tmp_path, "START"))
    assert starts["pill", 0] == 3
    # Who else was in work at the first two deaths ran again, at last alone, and nobody was put aside for it.
    assert set(noted(tmp_path, "DONE")) == {(step.lane, step.number) for step in good} | {("pill", 1), ("pill", 2)}
    assert max(starts.values()) <= 4


async def test_a_batch_that_gets_stuck_is_sorted_out_by_the_next_process(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, [StepAsked(lane="a", number=n, note="ignore" if n == 3 else "") for n in range(6)])
    ledger = str(tmp_path / "ledger")
    with tidemill_worker(settings, tmp_path, SAMPLES + "stubborn_batches", **{LEDGER: ledger}) as worker:
        wait_until(lambda: lag(settings, stubborn_batches) == 0, "all is handled", 60)
        (letter,) = await dead_letters(settings, 1)
        assert worker.end() == 0
    assert header(letter, "tm_dead_error") == "tidemill.runtime.executors.fault.StuckHandler"
    assert set(noted(tmp_path, "DONE")) == {("a", number) for number in range(6) if number != 3}
