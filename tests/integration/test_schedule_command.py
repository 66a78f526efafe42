"""`tidemill schedule` against a real cluster: what it puts into force, what it shows, and how it explains each time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.scheduling import EVENT, Clockwork, job, wait_past
from tests.integration.working import wait_until
from tidemill import broker
from tidemill.config import Settings

SECOND = timedelta(seconds=1)


@pytest.fixture
def clockwork(settings: Settings, tmp_path: Path) -> Clockwork:
    made = Clockwork(settings, tmp_path)
    made.prepare()
    return made


def test_a_dry_run_says_what_would_change_and_changes_nothing(clockwork: Clockwork) -> None:
    assert "No jobs are in force" in clockwork.schedule("list")
    clockwork.write(job("daily", 'cron = "0 7 * * *"\ntimezone = "Europe/Paris"', EVENT), job("sweep", 'every = "1h"'))
    told = clockwork.schedule("apply", clockwork.file, "--dry-run")
    assert "2 jobs would change" in told
    assert "0 7 * * * (Europe/Paris)" in told
    assert clockwork.ask("list") == []
    assert "2 jobs changed" in clockwork.schedule("apply", clockwork.file)
    assert [row["job"] for row in clockwork.ask("list")] == ["daily", "sweep"]
    assert "Nothing changes" in clockwork.schedule("apply", clockwork.file)
    clockwork.write(job("sweep", 'every = "2h"'), job("new"))
    rows = clockwork.ask("apply", clockwork.file)
    assert {row["job"]: row["change"] for row in rows} == {"daily": "removed", "new": "added", "sweep": "rescheduled"}


def test_what_ran_is_explained_with_who_emitted_it_and_where_it_lies(clockwork: Clockwork) -> None:
    clockwork.write(job("sweep", more='missed = "all"' + EVENT))
    with clockwork.scheduler():
        tick = clockwork.until_ticks("sweep", 2)[1]
        listed = clockwork.schedule("list")
    found = clockwork.explain("sweep", tick.at)
    assert (found["verdict"], found["tick"], found["by"]) == ("ran", tick.id, tick.payload.by)
    assert (found["offset"], found["sequence"], found["emits"]) == (tick.offset, 2, "image.requested")
    assert found["topic"] == clockwork.settings.qualified("schedule.tick")
    shown = clockwork.schedule("explain", "sweep", tick.at.isoformat())
    assert "It ran, " in shown
    assert tick.payload.by in shown
    assert "on time" in listed
    (row,) = clockwork.ask("list")
    assert row["last_event"]["id"] in {event.id for event in clockwork.events()}
    between = clockwork.explain("sweep", tick.at + SECOND / 2)
    assert between["verdict"] == "no time"
    assert "the one before is at" in between["text"]


def test_times_that_passed_while_no_scheduler_ran_are_explained_by_their_jobs_policy(clockwork: Clockwork) -> None:
    policies = ("skip", "latest", "all")
    clockwork.write(*(job(f"job-{each}", more=f'missed = "{each}"\ngrace = "1s"') for each in policies))
    names = [f"job-{each}" for each in policies]
    with clockwork.scheduler():
        clockwork.until_later(names, datetime.now(UTC))
    missed = max(tick.at for ticks in clockwork.ticks_by_job().values() for tick in ticks) + SECOND
    wait_past(missed + 2 * SECOND)
    for each in policies:
        assert "is a scheduler running?" in clockwork.explain(f"job-{each}", missed)["text"]
    with clockwork.scheduler(with_file=False):
        ticks = clockwork.until_later(names, missed + SECOND)
    found = {each: clockwork.explain(f"job-{each}", missed) for each in policies}
    assert {each: about["verdict"] for each, about in found.items()} == {
        "skip": "missed",
        "latest": "missed",
        "all": "ran",
    }
    assert found["all"]["late_seconds"] > 1
    for each in ("skip", "latest"):
        assert found[each]["detail"] == f'missed = "{each}"'
        assert found[each]["skipped_count"] >= 2
    first_after = next(tick for tick in ticks["job-latest"] if tick.at > missed)
    assert first_after.payload.missed == found["latest"]["skipped_count"]


def test_a_run_is_skipped_until_the_stream_has_finished_the_one_before(clockwork: Clockwork) -> None:
    clockwork.write(job("picture", more='overlap = "skip"' + EVENT))
    with clockwork.scheduler():
        first = clockwork.until_ticks("picture", 1)[0]
        wait_until(lambda: [skip for skip in clockwork.skips("picture") if skip.first > first.at], "a run is skipped")
        (event,) = clockwork.events()
        skipped = clockwork.explain("picture", first.at + SECOND)
        assert skipped["verdict"] == "overlap"
        assert skipped["text"] == f"The run before it wasn't finished ({event.id} is unfinished)."
        # What the stream does once it is through with it.
        group = Consumer(broker.consumer_config(clockwork.settings, "tidemill.image"))
        try:
            assert event.position is not None
            place = event.position
            group.commit(offsets=[TopicPartition(place.topic, place.partition, place.offset + 1)], asynchronous=False)
        finally:
            group.close()
        ticks = clockwork.until_ticks("picture", 2)
    assert ticks[1].payload.sequence == 2
    assert ticks[1].payload.missed == (ticks[1].at - first.at) / SECOND - 1


def test_a_paused_job_is_explained_while_it_is_paused_and_afterwards(clockwork: Clockwork) -> None:
    clockwork.write(job("sweep", more='missed = "all"'))
    with clockwork.scheduler():
        clockwork.until_ticks("sweep", 1)
        assert "sweep paused" in clockwork.schedule("pause", "sweep", "--why", "the warehouse moves")
        paused_at = datetime.now(UTC)
        assert "is paused already" in clockwork.schedule("pause", "sweep")
        time_in_it = (paused_at + SECOND).replace(microsecond=0)
        wait_past(time_in_it + SECOND / 2)
        during = clockwork.explain("sweep", time_in_it)
        assert [row["state"] for row in clockwork.ask("list")] == ["paused"]
        assert clockwork.ask("resume", "sweep") == {"job": "sweep", "paused": False, "changed": True}
        clockwork.until_later(["sweep"], datetime.now(UTC))
    assert during["verdict"] == "paused"
    assert "the warehouse moves" in during["text"]
    after = clockwork.explain("sweep", time_in_it)
    assert after["verdict"] == "paused"
    assert "The job was paused" in after["text"]
    assert "the warehouse moves" in after["detail"]
    first_after = next(tick for tick in clockwork.ticks("sweep") if tick.at > time_in_it)
    assert first_after.payload.missed == after["skipped_count"]


def test_a_job_whose_event_cannot_be_made_is_explained_with_the_reason(clockwork: Clockwork) -> None:
    payload = EVENT.replace("{{ job }}-{{ sequence }}", "{{ 1 // (sequence - 2) }}-x")
    clockwork.write(job("picture", more='missed = "all"' + payload))
    with clockwork.scheduler():
        wait_until(lambda: clockwork.skips("picture"), "a run fails")
        first = clockwork.ticks("picture")[0]
    failed = clockwork.explain("picture", first.at + SECOND)
    assert failed["verdict"] == "failed"
    assert "division" in failed["text"]


def test_a_run_by_hand_is_emitted_at_once_and_marked(clockwork: Clockwork) -> None:
    clockwork.write(job("daily", 'cron = "0 7 1 1 *"', EVENT))
    with clockwork.scheduler():
        answer = clockwork.ask("run", "daily")
        assert "daily runs: tick daily@" in clockwork.schedule("run", "daily")
    ticks = clockwork.ticks("daily")
    assert [tick.payload.manual for tick in ticks] == [True, True]
    assert ticks[0].id == answer["tick"]
    assert len({event.id for event in clockwork.events()}) == 2


def test_a_run_that_no_scheduler_answers_is_honoured_by_the_next_one(clockwork: Clockwork) -> None:
    clockwork.write(job("daily", 'cron = "0 7 1 1 *"'))
    clockwork.schedule("apply", clockwork.file)
    result = clockwork.run("schedule", "run", "daily", "--timeout", "0.5")
    assert result.exit_code == 3
    assert "No scheduler has answered within 0.5 s. The request stays" in result.output
    with clockwork.scheduler(with_file=False):
        (tick,) = clockwork.until_ticks("daily", 1)
    assert tick.payload.manual
    with clockwork.scheduler(with_file=False):
        assert clockwork.ask("run", "daily")["tick"] != tick.id
    assert len(clockwork.ticks("daily")) == 2


def test_times_that_never_were_or_are_still_to_come_are_explained(clockwork: Clockwork) -> None:
    clockwork.write(job("daily", 'cron = "30 2 * * *"\ntimezone = "Europe/Paris"'), job("off", more="enabled = false"))
    clockwork.schedule("apply", clockwork.file)
    gap = clockwork.ask("explain", "daily", "2026-03-29T02:30:00")
    assert gap["verdict"] == "gap"
    assert gap["text"].startswith("02:30:00 doesn't exist on 2026-03-29 in Europe/Paris: the clocks leap from 02:00")
    assert datetime.fromisoformat(gap["run_after"]) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    past = clockwork.ask("explain", "daily", "2026-03-28T02:30:00")
    assert (past["verdict"], "times before that don't count" in past["text"]) == ("before", True)
    coming = clockwork.ask("next", "daily", "-n", "2")[1]
    not_due = clockwork.ask("explain", "daily", coming["utc"])
    assert (not_due["verdict"], "It is due in" in not_due["text"]) == ("not due", True)
    wait_past(datetime.now(UTC).replace(microsecond=0) + 2 * SECOND)
    assert clockwork.ask("explain", "off")["verdict"] == "disabled"


def test_a_job_that_is_not_there_is_named_beside_the_one_that_may_be_meant(clockwork: Clockwork) -> None:
    clockwork.write(job("daily-report", 'every = "1h"'))
    clockwork.schedule("apply", clockwork.file)
    for arguments in (("explain", "dayly-report"), ("run", "dayly-report"), ("pause", "dayly-report")):
        result = clockwork.run("schedule", *arguments)
        assert result.exit_code != 0
        assert "There is no job 'dayly-report' in force. Did you mean 'daily-report'?" in result.output
    result = clockwork.run("schedule", "explain", "daily-report", "tomorrow")
    assert "'tomorrow' is not a time." in result.output
