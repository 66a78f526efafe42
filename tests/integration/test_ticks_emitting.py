"""Ticks of real schedulers: one for each time, whoever emits it, and whatever becomes of the schedule meanwhile."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.topics import JOBS
from tests.integration.scheduling import EVENT, Clockwork, job, seconds_of, wait_past
from tests.integration.worker_program import environment, program
from tests.integration.working import wait_until
from tidemill.config import Settings
from tidemill.errors import UnknownTopic
from tidemill.event import derived_id

EVERY_TIME = 'missed = "all"'


@pytest.fixture
def clockwork(settings: Settings, tmp_path: Path) -> Clockwork:
    made = Clockwork(settings, tmp_path)
    made.prepare()
    return made


def test_two_instances_emit_one_tick_and_one_event_for_each_time(clockwork: Clockwork, tmp_path: Path) -> None:
    names = [f"job-{number}" for number in range(8)]
    clockwork.write(*(job(name, more=EVERY_TIME + EVENT) for name in names))
    clockwork.schedule("apply", clockwork.file)
    command = [sys.executable, "-m", "tidemill", "scheduler", "--jobs", str(clockwork.file)]
    with ExitStack() as ends:
        instances = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            variables = environment(clockwork.settings, tmp_path)
            instances.append(ends.enter_context(program(command, variables, tmp_path / str(number))))

        def owners() -> set[int]:
            return {
                number
                for number, instance in enumerate(instances)
                for entry in instance.logged("owns the partition")
                if entry["topic"].endswith(JOBS.name)
            }

        wait_until(lambda: owners() == {0, 1}, "both own partitions of the books")
        clockwork.until_later(names, datetime.now(UTC))
        assert [instance.end() for instance in instances] == [0, 0]
    found = clockwork.ticks_by_job()
    assert set(found) == set(names)
    ids = []
    for name, ticks in found.items():
        times = seconds_of(ticks)
        assert times == [times[0] + number for number in range(len(times))]
        assert [tick.payload.sequence for tick in ticks] == list(range(1, len(ticks) + 1))
        assert [tick.id for tick in ticks] == [f"{name}@{tick.at:%Y-%m-%dT%H:%M:%SZ}" for tick in ticks]
        ids += [derived_id(tick.id, "emit") for tick in ticks]
    assert sorted(event.id for event in clockwork.events()) == sorted(ids)
    assert len({tick.payload.by for ticks in found.values() for tick in ticks}) == 2


def test_a_scheduler_goes_on_where_the_one_before_stood(clockwork: Clockwork) -> None:
    clockwork.write(job("sweep", more=EVERY_TIME))
    with clockwork.scheduler():
        last = clockwork.until_ticks("sweep", 1)[-1]
    down_until = datetime.now(UTC) + timedelta(seconds=2)
    wait_past(down_until)
    with clockwork.scheduler(with_file=False):
        clockwork.until_later(["sweep"], down_until)
    ticks = clockwork.ticks("sweep")
    assert seconds_of(ticks) == [seconds_of(ticks)[0] + number for number in range(len(ticks))]
    assert last in ticks


def test_a_changed_file_takes_effect_without_a_restart_and_replays_nothing(clockwork: Clockwork) -> None:
    clockwork.write(job("sweep", more=EVERY_TIME), job("gone"))
    with clockwork.scheduler():
        clockwork.until_ticks("sweep", 1)
        clockwork.until_ticks("gone", 1)
        changed_at = datetime.now(UTC)
        # Counted from 1970, and so with times before the change that nobody has emitted.
        clockwork.write(job("sweep", 'every = "2s"', EVERY_TIME), job("new"))
        clockwork.until_ticks("new", 1)
        old = clockwork.ticks("sweep")[0].payload.fingerprint
        wait_until(
            lambda: sum(tick.payload.fingerprint != old for tick in clockwork.ticks("sweep")) >= 2, "the new schedule"
        )
        (applied,) = [row for row in clockwork.ask("list") if row["job"] == "sweep"]

        def is_gone() -> bool:
            last = {name: ticks[-1].at for name, ticks in clockwork.ticks_by_job().items()}
            return last["gone"] + timedelta(seconds=3) < min(last["sweep"], last["new"])

        # Its owner emits ticks until it has read that the job is removed, and none from then on.
        wait_until(is_gone, "the removed job's ticks have ended")
    ticks = clockwork.ticks("sweep")
    since = datetime.fromisoformat(applied["in_force_since"]).timestamp()
    assert since > changed_at.timestamp()
    before = [tick for tick in ticks if tick.payload.fingerprint == old]
    after = [tick for tick in ticks if tick.payload.fingerprint != old]
    assert ticks == before + after
    assert min(seconds_of(after)) > since
    assert {second % 2 for second in seconds_of(after)} == {0.0}
    assert [tick.payload.sequence for tick in ticks] == list(range(1, len(ticks) + 1))
    assert min(seconds_of(clockwork.ticks("new"))) > since


def test_a_file_with_faults_leaves_the_schedule_before_it_in_force(clockwork: Clockwork) -> None:
    def faults() -> list[str]:
        event = "the schedule has faults; the one before stays in force"
        return [entry["error"] for entry in clockwork.logs if entry["event"] == event]

    clockwork.write(job("sweep", more=EVERY_TIME))
    with clockwork.scheduler():
        clockwork.until_ticks("sweep", 1)
        clockwork.write(job("sweep", 'every = "never"'), job("sweep"))
        wait_until(faults, "the faults are told")
        clockwork.until_later(["sweep"], datetime.now(UTC))
    (told,) = faults()
    assert told.startswith("2 faults in")
    assert {tick.payload.fingerprint for tick in clockwork.ticks("sweep")} == {
        row["fingerprint"] for row in clockwork.ask("list")
    }


def test_a_scheduler_without_its_topics_says_which_one_is_missing(settings: Settings, tmp_path: Path) -> None:
    bare = Clockwork(settings, tmp_path)
    bare.write(job("sweep"))
    with pytest.raises(UnknownTopic, match=rf"'{settings.namespace}schedule\.jobs' doesn't exist"), bare.scheduler():
        pytest.fail("it must not be ready")
    for arguments in (("list",), ("apply", bare.file), ("run", "sweep"), ("explain", "sweep")):
        result = bare.run("schedule", *arguments)
        assert result.exit_code == 1
        assert f"Topic '{settings.namespace}schedule.jobs' doesn't exist" in result.output
        assert "tidemill topics apply" in result.output
