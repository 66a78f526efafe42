"""Progress, and giving up: on a real Kafka, what a stream tells of its events and what becomes of cancelled ones."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from tests.integration.cancel_samples import failing, long, owing, slow
from tests.integration.commands import Commands
from tests.integration.steps import StepAsked, StepDone
from tests.integration.stream_samples import LEDGER
from tests.integration.test_stream_processes import pool_processes
from tests.integration.working import (
    DEAD,
    DONE,
    committed,
    ends,
    events,
    forget_offsets,
    lag,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill.config import Settings
from tidemill.errors import UnknownTopic
from tidemill.event import Event
from tidemill.events import JobCancel, JobProgress
from tidemill.runtime.progress import EVERY_SECONDS

PROGRESS = JobProgress.__contract__.topic


@pytest.fixture
def ready(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    prepare(settings, StepAsked, StepDone, JobProgress, JobCancel)
    return settings.model_copy(update={"effects_url": SecretStr(f"sqlite:///{tmp_path}/effects.db")})


async def told_of(settings: Settings, state: str, count: int) -> list[Event[JobProgress]]:
    """What was told with this state, once it was told so many times."""
    at_least = count
    while True:
        await until_there(settings, PROGRESS, at_least)
        told = await asyncio.to_thread(events, settings, JobProgress)
        found = [each for each in told if each.payload.state == state]
        if len(found) >= count:
            return found
        at_least = len(told) + 1


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


async def test_a_process_tells_how_far_it_is_and_is_killed_with_all_it_started_when_cancelled(
    ready: Settings, tidemill: Commands, tmp_path: Path
) -> None:
    (job, queued) = publish(ready, [StepAsked(lane="a", number=0), StepAsked(lane="a", number=1, note="quick")])
    async with working(ready, long) as worker:
        running = await told_of(ready, "running", 3)
        for first, second in pairwise(running):
            # The first may tell only that it began, the next one that nothing of it is done yet.
            done = [-1 if each.payload.done is None else each.payload.done for each in (first, second)]
            assert done[0] < done[1]
        # It says how far it is a hundred times a second; two of a second are passed on.
        seconds = (running[-1].payload.at - running[0].payload.at).total_seconds()
        assert len(running) <= 2 + 2 * seconds / EVERY_SECONDS
        shown = running[-1]
        assert (shown.payload.job, shown.payload.event, shown.payload.type) == (job, job, "step.asked")
        assert (shown.payload.stream, shown.payload.attempt) == ("long", 1)
        assert (shown.payload.total, shown.payload.unit, shown.payload.note) == (6000, "steps", "at it")
        assert (shown.key, shown.root, shown.cause) == (job, job, job)
        assert worker.finished == 0
        asked = await asyncio.to_thread(tidemill, "cancel", job, "--why", "wrong file", "--by", "ann")
        assert asked.exit_code == 0, asked.output
        assert f"what became of it: tidemill job {job}" in asked.output
        (cancelled,) = await told_of(ready, "cancelled", 1)
        # The next event of its key goes on, in a process of its own.
        await until_there(ready, DONE, 1)
        await until(lambda: worker.finished == 2, "both are through")
        (child,) = [int(pid) for pid in (tmp_path / "ledger").read_text().split()]
        await until(lambda: is_gone(child), "what the handler had started is gone")
        assert await worker.stop() == 0
    assert (cancelled.payload.event, cancelled.payload.error) == (job, "by ann: wrong file")
    assert [(done.payload.number, done.cause) for done in events(ready, StepDone)] == [(1, queued)]
    assert not pool_processes()
    assert lag(ready, long) == 0
    assert sum(ends(ready, DEAD).values()) == 0


async def test_a_worker_that_starts_after_the_cancel_begins_no_event_of_the_job(
    ready: Settings, tidemill: Commands, tmp_path: Path
) -> None:
    jobs = publish(ready, steps("a", 3))
    publish(ready, [JobCancel(job=job, by="ann") for job in jobs[1:]])
    asked = tidemill("cancel", jobs[0], "--by", "ann", "--json")
    assert asked.exit_code == 0, asked.output
    shown = json.loads(asked.stdout)
    assert (shown["job"], shown["by"], shown["why"]) == (jobs[0], "ann", None)
    assert shown["topic"] == ready.qualified("job.cancel")
    async with working(ready, long) as worker:
        cancelled = await told_of(ready, "cancelled", 3)
        await until(lambda: worker.finished == 3, "all are through")
        assert await worker.stop() == 0
    assert {each.payload.event for each in cancelled} == set(jobs)
    assert not (tmp_path / "ledger").exists()
    assert sum(ends(ready, DONE).values()) == 0
    assert lag(ready, long) == 0
    # Run again after a crash, it is the same event that tells of it.
    forget_offsets(ready, long)
    async with working(ready, long) as worker:
        again = await told_of(ready, "cancelled", 6)
        await until(lambda: worker.finished == 3, "all are through again")
        assert await worker.stop() == 0
    assert {each.id for each in again} == {each.id for each in cancelled}


async def test_a_wait_for_the_next_try_ends_with_the_cancel(ready: Settings) -> None:
    (job, other) = publish(ready, [StepAsked(lane="a", number=0), StepAsked(lane="b", number=1)])
    async with working(ready, failing) as worker:
        waiting = await told_of(ready, "waiting", 2)
        assert {each.payload.error for each in waiting} == {"ValueError: not now"}
        publish(ready, [JobCancel(job=job)])
        (cancelled,) = await told_of(ready, "cancelled", 1)
        await until(lambda: worker.finished == 1, "it is through")
        assert await worker.stop() == 0
    assert (cancelled.payload.job, cancelled.payload.error) == (job, "no reason given")
    assert lag(ready, failing) == 1
    # After a restart neither is begun: one is through, the other still waits.
    publish(ready, [JobCancel(job=other, why="no use")])
    async with working(ready, failing) as worker:
        await told_of(ready, "cancelled", 2)
        await until(lambda: worker.finished == 1, "the other is through")
        assert await worker.stop() == 0
    assert lag(ready, failing) == 0
    assert committed(ready, failing)


async def test_an_effect_under_way_in_a_killed_process_is_an_open_question_in_the_ledger(
    ready: Settings, tmp_path: Path, tidemill: Commands
) -> None:
    (job,) = publish(ready, steps("a", 1))
    async with working(ready, owing) as worker:
        await until(lambda: (tmp_path / "ledger").exists(), "the effect has begun")
        publish(ready, [JobCancel(job=job, by="ann")])
        await told_of(ready, "cancelled", 1)
        await until(lambda: worker.finished == 1, "it is through")
        assert await worker.stop() == 0
    from tidemill.runtime.effects.database import Database
    from tidemill.runtime.effects.inspection import of_event

    database = Database(ready)
    try:
        (seen,) = of_event(database, job)
    finally:
        database.close()
    assert (seen.entry.state, seen.entry.name.key, seen.owner_is_gone) == ("started", "charge", True)


async def test_a_missing_topic_is_an_answer_at_once(settings: Settings, tidemill: Commands) -> None:
    asked = tidemill("cancel", "some-job")
    assert asked.exit_code == 1
    assert f"Topic '{settings.qualified('job.cancel')}' doesn't exist" in asked.output
    assert "tidemill topics apply" in asked.output
    prepare(settings)
    with pytest.raises(UnknownTopic, match=r"job.cancel \(failing learns from it which jobs are cancelled\)"):
        async with working(settings, failing):
            pass


async def test_without_topics_for_it_a_stream_goes_on_and_tells_nothing(settings: Settings) -> None:
    prepare(settings)
    publish(settings, steps("a", 1))
    async with working(settings, slow) as worker:
        await until(lambda: worker.finished == 1, "it is through")
        assert await worker.stop() == 0
    assert lag(settings, slow) == 0


async def test_a_slow_event_is_told_of_and_so_is_its_end(ready: Settings) -> None:
    (job,) = publish(ready, steps("a", 1))
    async with working(ready, slow) as worker:
        await told_of(ready, "done", 1)
        assert await worker.stop() == 0
    told = events(ready, JobProgress, 2)
    assert [(each.payload.state, each.payload.job) for each in told] == [("running", job), ("done", job)]
