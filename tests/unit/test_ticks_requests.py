"""Runs by hand: somebody asks for one in the books, and the partition's owner emits it and answers."""

from __future__ import annotations

from scheduler.jobs.job import Emit
from scheduler.ticks.books import TICK
from tests.unit.ticks_owner import Owner
from tests.unit.ticks_samples import EVENT, at, job, request
from tidemill.event import ID


def test_a_run_by_hand_is_emitted_at_once_answered_and_takes_no_number() -> None:
    owner = Owner(job(emit=EVENT))
    owner.act(at(10))
    owner.learn("run", "5eed", request(asked_at=at(13)))
    assert owner.next_at == 0.0
    written = owner.act(at(13))
    (tick,) = written.ticks
    assert (tick.manual, tick.scheduled_at, tick.sequence) == (True, at(13), 1)
    assert written.answers == {b"run/5eed": "emitted"}
    (answer,) = [record for record in written.of("schedule.jobs") if record.value is None]
    assert answer.headers[TICK] == b"sweep@2026-11-24T10:13:00Z+5eed"
    assert (written.states["sweep"].settled, written.states["sweep"].sequence) == (at(10), 1)
    assert owner.next_at == at(20).timestamp()
    assert [tick.sequence for tick in owner.act(at(20)).ticks] == [2]


def test_a_request_that_was_open_when_the_partition_was_taken_over_is_honoured() -> None:
    owner = Owner(job(), loaded=False)
    owner.learn("run", "5eed", request())
    owner.learn("run", "cafe", request(identity="cafe"))
    owner.learn("run", "cafe", None)
    owner.duty.loaded()
    assert owner.act(at(1)).answers == {b"run/5eed": "emitted"}
    assert owner.act(at(1)).records == []


def test_a_request_beside_a_due_tick_waits_for_the_next_transaction() -> None:
    owner = Owner(job())
    owner.learn("run", "5eed", request())
    first, second = owner.act(at(10)), owner.act(at(10))
    assert ([tick.manual for tick in first.ticks], first.answers) == ([False], {})
    assert ([tick.manual for tick in second.ticks], second.answers) == ([True], {b"run/5eed": "emitted"})
    assert second.states["sweep"].settled == at(10)


def test_two_requests_for_a_job_are_two_runs() -> None:
    owner = Owner(job())
    owner.learn("run", "5eed", request())
    owner.learn("run", "cafe", request(identity="cafe"))
    ids = {record.headers[ID] for _ in range(3) for record in owner.act(at(1)).of("schedule.tick")}
    assert ids == {b"sweep@2026-11-24T10:00:00Z+5eed", b"sweep@2026-11-24T10:00:00Z+cafe"}
    assert owner.next_at == at(10).timestamp()


def test_a_request_for_a_job_that_is_not_there_is_answered_so() -> None:
    owner = Owner(job())
    owner.learn("run", "5eed", request("sweeep"))
    written = owner.act(at(1))
    assert written.answers == {b"run/5eed": "there is no job 'sweeep'"}
    assert written.ticks == []


def test_a_run_by_hand_whose_event_cannot_be_made_is_answered_with_the_reason() -> None:
    owner = Owner(job(emit=Emit(type="image.requested", payload={"source": "{{ 1 // sequence }}", "renditions": []})))
    owner.learn("run", "5eed", request())
    (answer,) = owner.act(at(1)).answers.values()
    assert answer.startswith("its event can't be made: ")
