"""The records of `schedule.jobs`: read as they were written, whatever else lies in the topic."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from scheduler.ticks.books import (
    Books,
    Definition,
    Kind,
    Pause,
    definition_from,
    key_of,
    kind_of,
    partition_of_job,
    pause_from,
    run_request_from,
    state_from,
    to_bytes,
)
from tests.unit.ticks_samples import EVENT, T0, at, cron, job, ran, request, state
from tidemill.errors import DecodeError

DEFINITION = Definition(
    job("reports.daily", schedule=cron("0 7 * * MON-FRI", "Europe/Paris"), jitter=timedelta(seconds=90), emit=EVENT),
    T0,
    at(5),
    "alice@sails",
)
STATE = state(at(10), sequence=7, skipped=2, ran=ran(at(10)))


def test_every_record_is_read_as_it_was_written() -> None:
    assert definition_from(to_bytes(DEFINITION)) == DEFINITION
    assert state_from(to_bytes(STATE)) == STATE
    assert state_from(to_bytes(state(T0))) == state(T0)
    assert state_from(to_bytes(state(T0, ran=ran(T0, event=False)))).ran == ran(T0, event=False)
    for pause in (Pause(T0, None, "alice"), Pause(T0, at(3), "alice", "wärmer als gedacht")):
        assert pause_from(to_bytes(pause)) == pause
    assert run_request_from(to_bytes(request())) == request()


def test_what_a_newer_version_adds_is_passed_over() -> None:
    newer = {**json.loads(to_bytes(STATE)), "mood": "good"}
    assert state_from(json.dumps(newer).encode()) == STATE


@pytest.mark.parametrize("kind", ["job", "state", "pause", "run"])
def test_a_key_says_the_kind_and_the_name(kind: Kind) -> None:
    assert kind_of(key_of(kind, "reports.daily")) == (kind, "reports.daily")


@pytest.mark.parametrize("key", [None, b"", b"job", b"job/", b"/sweep", b"lock/sweep", b"\xff\xfe/x", b"JOB/sweep"])
def test_a_key_of_another_kind_is_none_of_ours(key: bytes | None) -> None:
    assert kind_of(key) is None
    books = Books()
    assert books.take(key, b"{}") is None
    assert books == Books()


def test_a_job_lies_in_one_partition_that_its_name_decides() -> None:
    assert partition_of_job("sweep", 6) == partition_of_job("sweep", 6)
    assert {partition_of_job(f"job-{number}", 6) for number in range(100)} == set(range(6))


def test_the_last_record_of_a_key_is_what_counts() -> None:
    books = Books()
    books.take(b"state/sweep", to_bytes(state(at(10), sequence=1)))
    books.take(b"state/sweep", to_bytes(state(at(20), sequence=2)))
    assert books.pages["sweep"].state == state(at(20), sequence=2)


def test_a_removed_job_keeps_its_state() -> None:
    books = Books()
    for kind, record in (("job", DEFINITION), ("state", STATE)):
        assert books.take(f"{kind}/reports.daily".encode(), to_bytes(record)) == (kind, "reports.daily")
    books.take(b"job/reports.daily", None)
    page = books.pages["reports.daily"]
    assert (page.definition, page.state) == (None, STATE)


def test_a_pause_lasts_until_its_end_is_written() -> None:
    books = Books()
    books.take(b"pause/sweep", to_bytes(Pause(T0, None, "alice")))
    pages = [books.pages["sweep"]]
    books.take(b"pause/sweep", to_bytes(Pause(T0, at(1), "alice")))
    pages.append(books.pages["sweep"])
    assert [page.is_paused for page in pages] == [True, False]
    books.take(b"pause/sweep", None)
    assert books.pages["sweep"].pause is None


def test_a_request_waits_until_it_is_taken_away() -> None:
    books = Books()
    books.take(b"run/5eed", to_bytes(request()))
    assert list(books.requests.values()) == [request()]
    books.take(b"run/5eed", None)
    books.take(b"run/never-asked", None)
    assert books.requests == {}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"7",
        b"[]",
        b'"settled"',
        b"{}",
        b'{"settled": 7, "sequence": 1, "skipped": 0, "ran": null}',
        b'{"settled": "yesterday", "sequence": 1, "skipped": 0, "ran": null}',
        b'{"settled": "2026-11-24T10:00:00+00:00", "sequence": "many", "skipped": 0, "ran": null}',
        b'{"settled": "2026-11-24T10:00:00+00:00", "sequence": 1, "skipped": 0, "ran": {"tick": {"shell": "rm"}}}',
        b'{"settled": "2026-11-24T10:00:00+00:00", "sequence": 1, "skipped": 0, "ran": []}',
        b'{"settled": "2026-11-24T10:00:00+00:00", "sequence": 1, "skipped": 0, "ran": {"scheduled_at": "2026-11-24",'
        b' "emitted_at": "2026-11-24", "by": "", "manual": false, "emit": null, "tick": {"id": "", "topic": "",'
        b' "partition": "two", "offset": 0}}}',
        b'{"settled": "2026-11-24T10:00:00+00:00", "sequence": Infinity, "skipped": 0, "ran": null}',
        b'{"settled": "0001-01-01T00:00:00+14:00", "sequence": 1, "skipped": 0, "ran": null}',
        b"[" * 100_000,
        b'{"job": {"name": "x", "every": "5m"}, "since": {}, "applied_at": [], "by": null}',
        b'{"job": {"name": "x", "cron": "99 * * * *"}, "since": "2026-11-24", "applied_at": "2026-11-24", "by": ""}',
    ],
)
@pytest.mark.parametrize("kind", ["job", "state", "pause", "run"])
def test_garbage_becomes_a_clear_error_and_changes_nothing(kind: Kind, value: bytes) -> None:
    books = Books()
    books.take(b"state/sweep", to_bytes(STATE))
    with pytest.raises(DecodeError, match=r"A record of schedule\.jobs can't be read"):
        books.take(key_of(kind, "sweep"), value)
    assert books.pages["sweep"].state == STATE
    assert books.pages["sweep"].definition is None
    assert books.requests == {}


def test_the_mark_tells_whether_times_count_from_the_same_moment_on() -> None:
    def mark(**changed: Any) -> str:
        return Definition(job(**changed), T0, T0, "alice").mark

    assert mark() == mark(emit=EVENT) == mark(missed="all")
    assert len({mark(), mark(enabled=False), mark(jitter=timedelta(seconds=5)), mark(schedule=cron("@hourly"))}) == 4
