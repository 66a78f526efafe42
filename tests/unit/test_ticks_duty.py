"""The duty of a partition's owner: what it writes, in which order, and what becomes of it when that fails."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler.jobs.job import Emit
from scheduler.ticks import duty as duty_module
from scheduler.ticks.books import Definition, Emitted, Pause
from scheduler.ticks.duty import TicksDuty
from tests.unit.ticks_owner import BOOKS, CODEC, PARTITION, Finishing, Owner, Pad, Record
from tests.unit.ticks_samples import BY, EVENT, T0, at, emitting, every, job, ran, request, state
from tidemill.errors import BrokerUnreachable, EventTooLarge, RegistryError, SchemaNotRegistered, TidemillError


def test_a_tick_its_event_and_the_jobs_state_are_one_deed_in_this_order() -> None:
    owner = Owner(job(emit=EVENT))
    written = owner.act(at(10))
    assert [record.topic for record in written.records] == ["unit.schedule.tick", "unit.image.requested", BOOKS]
    state_record = written.records[-1]
    assert (state_record.key, state_record.partition) == (b"state/sweep", PARTITION)
    stands = written.states["sweep"]
    assert (stands.settled, stands.sequence, stands.skipped) == (at(10), 1, 0)
    assert stands.ran is not None
    assert stands.ran.tick == Emitted("sweep@2026-11-24T10:10:00Z", "unit.schedule.tick", 1, 100)
    assert stands.ran.emit is not None
    assert (stands.ran.emit.topic, stands.ran.emit.offset) == ("unit.image.requested", 101)
    assert (stands.ran.by, stands.ran.manual) == (BY, False)


def test_nothing_is_due_before_its_time_and_nothing_twice() -> None:
    owner = Owner(job())
    assert owner.deed(at(9.99)) is None
    assert owner.next_at == at(10).timestamp()
    assert len(owner.act(at(10)).ticks) == 1
    assert owner.deed(at(10)) is None
    assert owner.next_at == at(20).timestamp()


def test_many_jobs_that_are_not_due_cost_nothing() -> None:
    owner = Owner(*(job(f"job-{number}") for number in range(50)), job("soon", schedule=every(1)))
    owner.act(T0)
    assert owner.next_at == at(1).timestamp()
    assert [tick.job for tick in owner.act(at(1)).ticks] == ["soon"]


def test_a_new_owner_goes_on_where_the_one_before_stood() -> None:
    owner = Owner(job(missed="all"), loaded=False)
    owner.learn("state", "sweep", state(at(10), sequence=1))
    owner.learn("state", "sweep", state(at(20), sequence=2))
    owner.duty.loaded()
    assert [(tick.scheduled_at, tick.sequence) for tick in owner.act(at(35)).ticks] == [(at(30), 3)]


def test_more_jobs_than_a_transaction_takes_follow_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty_module, "MOST_JOBS", 4)
    owner = Owner(*(job(f"job-{number}") for number in range(10)))
    owner.act(T0)
    owner.act(T0)
    owner.act(T0)
    counts = []
    while (count := len(owner.act(at(10)).ticks)) > 0:
        counts.append(count)
    assert sum(counts) == 10
    assert max(counts) <= 4


def test_what_an_owner_has_written_itself_does_not_set_it_back() -> None:
    owner = Owner(job(missed="all"))
    first = owner.act(at(10))
    owner.act(at(20))
    owner.learn("state", "sweep", first.records[-1].value)
    assert owner.deed(at(29)) is None
    assert [tick.sequence for tick in owner.act(at(30)).ticks] == [3]


def test_a_deed_that_comes_to_nothing_is_due_again_unchanged() -> None:
    owner = Owner(job(emit=EVENT))
    assert owner.deed(at(10)) is not None  # And its transaction is aborted.
    assert owner.next_at == at(10).timestamp() + duty_module.FIRST_HOLD_SECONDS
    again = owner.act(datetime.fromtimestamp(owner.next_at, T0.tzinfo))
    assert [(tick.scheduled_at, tick.sequence) for tick in again.ticks] == [(at(10), 1)]


def test_a_changed_job_is_followed_at_once_and_counts_from_its_change() -> None:
    owner = Owner(job(missed="all"))
    owner.act(at(10))
    owner.learn("job", "sweep", Definition(job(missed="all", schedule=every(5)), at(12), at(12), "bob"))
    assert owner.deed(at(12)) is None
    assert owner.next_at == at(15).timestamp()
    assert [tick.scheduled_at for tick in owner.act(at(20)).ticks] == [at(15), at(20)]


def test_a_removed_job_stops_and_an_added_one_starts_at_its_next_time() -> None:
    owner = Owner(job())
    owner.learn("job", "sweep", None)
    owner.learn("job", "other", Definition(job("other"), at(5), at(5), "bob"))
    assert [tick.job for tick in owner.act(at(10)).ticks] == ["other"]
    owner.learn("job", "other", None)
    assert owner.deed(at(20)) is None
    assert owner.next_at is None


def test_a_paused_job_stops_and_goes_on_when_it_is_resumed() -> None:
    owner = Owner(job(missed="all"))
    owner.learn("pause", "sweep", Pause(at(5), None, "alice"))
    assert owner.deed(at(20)) is None
    owner.learn("pause", "sweep", Pause(at(5), at(21), "alice"))
    resumed = owner.act(at(21))
    assert resumed.ticks == []
    assert [(skip.first, skip.last, skip.reason) for skip in resumed.skips] == [(at(10), at(20), "paused")]
    assert [(tick.sequence, tick.missed) for tick in owner.act(at(30)).ticks] == [(1, 2)]


def test_a_record_that_is_garbage_is_told_and_passed_over() -> None:
    owner = Owner(job())
    with capture_logs() as logs:
        owner.learn("job", "sweep", b'{"job": 7}')
        owner.learn("state", "sweep", b"[" * 50_000)
        owner.learn("lock", "sweep", b"{}")
    (entry,) = [entry for entry in logs if entry["event"] == "a record is passed over"]
    assert (entry["offset"], "schedule.jobs can't be read" in entry["error"]) == (1, True)
    assert len(owner.act(at(10)).ticks) == 1


BROKEN = Emit(type="image.requested", payload={"source": "picture-{{ 1 // (sequence - 2) }}", "renditions": []})
"""Its expression fails at the second run."""


def test_a_tick_whose_event_cannot_be_made_is_recorded_as_failed_and_the_next_one_counts_on() -> None:
    owner = Owner(job(missed="all", emit=BROKEN))
    assert [tick.sequence for tick in owner.act(at(10)).ticks] == [1]
    failed = owner.act(at(20))
    assert failed.ticks == []
    assert [(skip.first, skip.count, skip.reason) for skip in failed.skips] == [(at(20), 1, "failed")]
    assert "division" in failed.skips[0].detail
    assert (failed.states["sweep"].settled, failed.states["sweep"].sequence) == (at(20), 1)
    assert failed.states["sweep"].skipped == 1


def test_ticks_made_up_for_after_a_failed_one_have_no_gap_in_their_numbers() -> None:
    fails_at_half_past = Emit(
        type="image.requested", payload={"source": "picture-{{ 1 // (scheduled_at.minute - 30) }}", "renditions": []}
    )
    owner = Owner(job(missed="all", emit=fails_at_half_past))
    owner.act(T0)
    written = owner.act(at(55))
    assert [(tick.scheduled_at, tick.sequence, tick.missed) for tick in written.ticks] == [
        (at(10), 1, 0),
        (at(20), 2, 0),
        (at(40), 3, 1),
        (at(50), 4, 0),
    ]
    assert [skip.first for skip in written.skips] == [at(30)]
    stands = written.states["sweep"]
    assert (stands.settled, stands.sequence, stands.skipped) == (at(50), 4, 0)


def test_a_run_is_skipped_while_the_stream_has_not_finished_the_one_before() -> None:
    finishing = Finishing(finished=False)
    owner = Owner(job(overlap="skip", emit=EVENT, stream="image"), finishing=finishing)
    assert len(owner.act(at(10)).ticks) == 1
    held = owner.act(at(20))
    assert ([skip.reason for skip in held.skips], held.ticks) == (["overlap"], [])
    ((stream, event),) = finishing.asked
    assert (stream, event.topic, event.offset) == ("image", "unit.image.requested", 101)
    finishing.finished = True
    assert [(tick.sequence, tick.missed) for tick in owner.act(at(30)).ticks] == [(2, 1)]


def held(owner: Owner, now: datetime) -> tuple[float, dict[str, Any]]:
    """How long a job was put off, and what was said of it."""
    with capture_logs() as logs:
        assert owner.deed(now) is None
    (entry,) = [entry for entry in logs if entry["event"] == "a job's tick has to wait"]
    assert owner.next_at is not None
    return owner.next_at - now.timestamp(), dict(entry)


def test_a_job_whose_stream_cannot_be_asked_waits_longer_each_time_and_others_go_on() -> None:
    finishing = Finishing()
    owner = Owner(job(overlap="skip", emit=EVENT, stream="image"), finishing=finishing)
    owner.act(at(10))
    finishing.error = BrokerUnreachable("The brokers don't answer.")
    now, waits = at(20), []
    for _ in range(8):
        seconds, entry = held(owner, now)
        assert (entry["job"], entry["reason"]) == ("sweep", "The brokers don't answer.")
        waits.append(round(seconds))
        now = datetime.fromtimestamp(owner.next_at or 0, T0.tzinfo)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    finishing.error = None
    assert [tick.scheduled_at for tick in owner.act(now).ticks] == [at(20)]


@pytest.mark.parametrize(
    "error", [SchemaNotRegistered("No schema."), RegistryError("It doesn't answer."), OSError("disk")]
)
def test_a_job_waits_where_its_schema_cannot_be_had(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    making = emitting(CODEC)

    def fails(*_: object) -> object:
        raise error

    monkeypatch.setattr(making, "tick", fails)
    owner = Owner()
    owner.duty = TicksDuty(BOOKS, PARTITION, making, owner.finishing)  # type: ignore[arg-type]
    owner.learn("job", "sweep", Definition(job(missed="all"), T0, T0, "alice"))
    owner.duty.loaded()
    owner.act(T0)
    seconds, entry = held(owner, at(10))
    assert (round(seconds), entry["reason"]) == (1, str(error))
    monkeypatch.undo()
    again = owner.act(at(10.5))
    assert [(tick.scheduled_at, tick.sequence) for tick in again.ticks] == [(at(10), 1)]


def test_a_job_whose_event_no_broker_takes_is_put_off_alone() -> None:
    def too_large(record: Record) -> TidemillError | None:
        is_of_sweep = record.topic == "unit.image.requested" and record.value is not None and b"1.jpg" in record.value
        return EventTooLarge("It has 2,000,000 bytes.") if is_of_sweep else None

    owner = Owner(job(emit=EVENT), job("tidy"))
    with capture_logs() as logs:
        owner.act(at(10), Pad(refuses=too_large))
    (entry,) = [entry for entry in logs if entry["event"] == "a job's tick has to wait"]
    assert (entry["job"], entry["reason"]) == ("sweep", "It has 2,000,000 bytes.")
    assert [tick.job for tick in owner.act(at(11)).ticks] == ["tidy"]


def test_what_was_emitted_and_what_was_not_is_logged() -> None:
    owner = Owner(*(job(f"job-{number}") for number in range(8)), job("late", missed="skip"))
    owner.act(T0)
    with capture_logs() as logs:
        owner.act(at(12))
    (ticks,) = [entry for entry in logs if entry["event"] == "ticks"]
    assert (ticks["count"], len(ticks["jobs"]), ticks["late_ms"]) == (8, 5, 120_000)
    (none,) = [entry for entry in logs if entry["event"] == "no ticks"]
    assert (none["job"], none["count"], none["reason"]) == ("late", 1, "missed")


def test_the_state_that_is_written_is_plain_json() -> None:
    (record,) = Owner(job()).act(at(10)).of("schedule.jobs")
    assert record.value is not None
    assert json.loads(record.value)["settled"] == "2026-11-24T10:10:00+00:00"


def test_closing_lets_go_of_what_asks_for_finished_runs() -> None:
    owner = Owner(job())
    owner.duty.close()
    assert owner.finishing.is_closed


def test_a_state_from_before_a_change_keeps_its_last_run() -> None:
    owner = Owner(job(missed="all"), loaded=False)
    owner.learn("state", "sweep", state(at(10), sequence=3, ran=ran(at(10))))
    owner.learn("job", "sweep", Definition(job(schedule=every(5)), at(12), at(12), "bob"))
    owner.learn("run", "5eed", request(asked_at=at(13)))
    owner.duty.loaded()
    stands = owner.act(at(13)).states["sweep"]
    assert (stands.settled, stands.sequence) == (at(12), 3)
