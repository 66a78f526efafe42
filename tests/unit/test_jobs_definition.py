"""A job's definition travels as JSON and comes back equal; its fingerprint and jitter are the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.jobs.at import At
from scheduler.jobs.cron import Cron
from scheduler.jobs.every import Every
from scheduler.jobs.job import Emit, Job
from scheduler.jobs.schedule import Schedule
from tidemill.errors import ConfigError

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
CRON = Schedule(Cron("0 7 * * MON-FRI", PARIS), PARIS)
JOBS = [
    Job(name="plain", schedule=CRON),
    Job(
        name="full.of-everything_1",
        schedule=Schedule(Every(timedelta(seconds=90), NOW), PARIS, NOW, NOW + timedelta(days=365, microseconds=1)),
        jitter=timedelta(seconds=30),
        enabled=False,
        missed="all",
        missed_limit=7,
        grace=timedelta(hours=1),
        overlap="skip",
        stream="image",
        emit=Emit(
            type="image.requested",
            payload={
                "text": "é\u2028\x00 {{ job }}",
                "number": 0.1,
                "large": 2**63,
                "none": None,
                "list": [True, {"a": []}],
            },
            key="",
            subject="{{ sequence }}",
        ),
    ),
    Job(name="listed", schedule=Schedule(At((NOW, NOW + timedelta(microseconds=1))), ZoneInfo("UTC"))),
    Job(name="ticks", schedule=CRON, emit=Emit(type="image.requested")),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_definition_comes_back_equal(job: Job) -> None:
    read = Job.from_json(job.to_json())
    assert read == job
    assert read.to_json() == job.to_json()
    assert read.fingerprint == job.fingerprint
    assert Job.from_json(job.to_json().encode()) == job


def test_what_a_newer_version_added_is_ignored() -> None:
    data = json.loads(JOBS[1].to_json())
    data["priority"] = {"high": 1}
    data["emit"]["headers"] = []
    assert Job.from_json(json.dumps(data)) == JOBS[1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "expected a JSON object, found list"),
        ("{}", "'name' is missing"),
        ('{"name": 7}', "'name' is 7, expected text"),
        ('{"name": "a"}', "The job definition of 'a' can't be read: expected one of cron, every and at, found none."),
        (
            '{"name": "a", "cron": "* * * * *", "every": "1s"}',
            "expected one of cron, every and at, found cron and every",
        ),
        ('{"name": "a", "cron": "0 25 * * *"}', "hour '25' isn't understood"),
        ('{"name": "a", "cron": "* * * * *", "timezone": "Mars/Base"}', "this machine knows no time zone 'Mars/Base'"),
        ('{"name": "a", "cron": "* * * * *", "timezone": "../etc/passwd"}', "can't be read"),
        ('{"name": "a", "cron": "* * * * *", "timezone": "Europe"}', "can't be read"),
        ('{"name": "a", "every": "5x"}', "Write a whole number and a unit"),
        ('{"name": "a", "every": "forever"}', "'every' is forever"),
        ('{"name": "a", "at": [1]}', "'at' is 1, expected a date and time with a zone"),
        ('{"name": "a", "at": ["2026-01-01"]}', "expected a date and time with a zone"),
        ('{"name": "a", "at": ["0001-01-01T00:00:00+14:00"]}', "beyond the calendar"),
        ('{"name": "a", "every": "1s", "starts": "soon"}', "can't be read"),
        ('{"name": "a", "every": "1s", "jitter_seconds": -1}', "expected seconds, not less than 0"),
        ('{"name": "a", "every": "1s", "grace_seconds": 1e300}', "expected seconds, not less than 0"),
        ('{"name": "a", "every": "1s", "missed": "some"}', "'missed' is 'some', expected one of skip, latest, all"),
        ('{"name": "a", "every": "1s", "missed": ["all"]}', "expected one of skip, latest, all"),
        ('{"name": "a", "every": "1s", "missed_limit": 0}', "'missed_limit' is 0, expected at least 1"),
        ('{"name": "a", "every": "1s", "enabled": 1}', "'enabled' is 1, expected true or false"),
        ('{"name": "a", "every": "1s", "emit": 1}', "'emit' is 1, expected an object"),
        ('{"name": "a", "every": "1s", "emit": {}}', "'type' is missing"),
    ],
)
def test_garbage_becomes_a_clear_error(text: str | bytes, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Job.from_json(text)
    assert complaint in str(caught.value)
    assert "Apply jobs.toml again" in str(caught.value)


def test_the_fingerprint_changes_with_the_times_and_with_nothing_else() -> None:
    job = JOBS[0]
    same = [
        replace(job, name="other"),
        replace(job, missed="all", grace=timedelta(days=1), enabled=False),
        replace(job, emit=Emit(type="image.requested")),
    ]
    assert {each.fingerprint for each in same} == {job.fingerprint}
    other = [
        replace(job, jitter=timedelta(seconds=1)),
        replace(job, schedule=Schedule(Cron("0 8 * * MON-FRI", PARIS), PARIS)),
        replace(job, schedule=Schedule(Cron("0 7 * * MON-FRI", ZoneInfo("UTC")), ZoneInfo("UTC"))),
        replace(job, schedule=replace(CRON, starts=NOW)),
        replace(job, schedule=replace(CRON, ends=NOW)),
    ]
    assert len({job.fingerprint, *(each.fingerprint for each in other)}) == 6


def test_the_fingerprint_is_the_same_in_every_release() -> None:
    assert JOBS[0].fingerprint == "6c3c8eebb86c"


def test_jitter_is_the_same_at_every_try_and_spread_over_its_length() -> None:
    jitter = timedelta(seconds=30)
    jobs = [Job(name=f"job-{number}", schedule=CRON, jitter=jitter) for number in range(500)]
    delays = [job.due_at(NOW) - NOW for job in jobs]

    assert delays == [replace(job, enabled=False).due_at(NOW.astimezone(PARIS)) - NOW for job in jobs]
    assert min(delays) >= timedelta(0)
    assert max(delays) <= jitter
    for third in range(3):
        low, high = jitter * third / 3, jitter * (third + 1) / 3
        assert 110 < sum(low <= delay < high for delay in delays) < 230


def test_a_job_without_jitter_is_due_at_its_time() -> None:
    assert JOBS[0].due_at(NOW) == NOW
