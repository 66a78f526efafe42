"""Retries that wait: where the event is, over the death of its worker; or around by schedule.delayed."""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.integration.retry_samples import asks_for_time, hopeless, late
from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.worker_program import ledger, noted, worker_process
from tests.integration.working import (
    DEAD,
    WAIT_SECONDS,
    dead_letters,
    encoded,
    header,
    lag,
    messages,
    prepare,
    publish,
    steps,
    until,
    wait_until,
    working,
)
from tidemill import broker
from tidemill.config import Settings
from tidemill.errors import RetryAfter, StreamError
from tidemill.event import Event
from tidemill.partitioning import partition_of
from tidemill.runtime.finished import Ahead, Held, from_metadata
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import Stream, stream
from tidemill.runtime.work import Work


def told(settings: Settings, declared: Stream) -> list[Ahead]:
    """What the group's commits tell beside their offsets, by partition."""
    name = settings.qualified(declared.topic)
    asked = [TopicPartition(name, number) for number in range(PARTITIONS)]
    consumer = Consumer(broker.consumer_config(settings, declared.group))
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while True:
            try:
                return [from_metadata(part.offset, part.metadata) for part in consumer.committed(asked, timeout=10)]
            except KafkaException as error:
                if "oordinator" not in error.args[0].str() or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
    finally:
        consumer.close()


def held(settings: Settings, declared: Stream) -> list[Held]:
    """The events that wait, as the group's commits tell it."""
    return [each for ahead in told(settings, declared) for each in ahead.held]


def tries(folder: Path) -> list[int]:
    return [int(line[3]) for line in ledger(folder) if line[0] == "TRY"]


def test_the_tries_of_an_event_count_on_when_its_worker_is_killed(settings: Settings, tmp_path: Path) -> None:
    prepare(settings)
    publish(settings, [StepAsked(lane="a", number=0, note="fail")])
    with worker_process(settings, tmp_path, "tests.integration.retry_samples:hopeless") as first:
        wait_until(lambda: [each.attempts for each in held(settings, hopeless)] == [2], "the second try is committed")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert tries(tmp_path) == [1, 2]
    with worker_process(settings, tmp_path, "tests.integration.retry_samples:hopeless"):
        (letter,) = messages(settings, DEAD, 1)
        assert header(letter, "tm_dead_attempts") == "4"
        wait_until(lambda: lag(settings, hopeless) == 0, "it is committed")
        wait_until(lambda: held(settings, hopeless) == [], "and nothing waits any more")
    assert tries(tmp_path) == [1, 2, 3, 4]
    times = [float(line[4]) for line in ledger(tmp_path)]
    # The new worker waited for what was left of the second, and no longer than that.
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(times))


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_a_key_stays_blocked_over_a_take_over_while_others_go_on(settings: Settings, protocol: Any) -> None:
    settings = settings.model_copy(update={"group_protocol": protocol})
    prepare(settings)
    done: list[tuple[str, int]] = []
    retried: list[tuple[int, float]] = []

    @stream("step.asked", name="blocked", retry=Retry(attempts=3, first=3.0, jitter=0.0))
    async def blocked(event: Event[StepAsked], work: Work) -> None:
        step = event.payload
        if (step.lane, step.number) == ("bad", 0):
            retried.append((work.attempt, time.monotonic()))
            if work.attempt == 1:
                raise OSError("not yet")
        done.append((step.lane, step.number))

    beside = next(f"lane {n}" for n in range(100) if place(f"lane {n}") == place("bad"))
    publish(settings, [*steps("bad", 5), *steps(beside, 20)])
    async with working(settings, blocked) as worker:
        await until(lambda: len(done) == 20, "the other key is through")
        assert await worker.stop() == 0
    assert {lane for lane, _ in done} == {beside}
    publish(settings, [StepAsked(lane=beside, number=number) for number in range(20, 40)])
    async with working(settings, blocked) as worker:
        await until(lambda: len(done) == 40, "the other key goes on in the new worker")
        assert len(retried) == 1
        await until(lambda: len(done) == 45, "the blocked key goes on")
        assert worker.finished == 25
        assert await worker.stop() == 0
    (first, first_at), (second, second_at) = retried
    assert (first, second) == (1, 2)
    assert second_at - first_at >= 3.0
    assert [number for lane, number in done if lane == "bad"] == list(range(5))
    assert [number for lane, number in done if lane == beside] == list(range(40))
    assert lag(settings, blocked) == 0


def place(lane: str) -> int:
    return partition_of(lane.encode(), PARTITIONS)


def test_a_take_over_passes_over_what_is_finished_behind_an_event_that_waits(
    settings: Settings, tmp_path: Path
) -> None:
    prepare(settings)
    count = 8_000
    others = [lane for lane in (f"lane-{n}" for n in range(40)) if place(lane) == place("late")][:5]
    publish(settings, [StepAsked(lane="late", number=0, note="late")])
    publish(settings, [StepAsked(lane=others[n % 5], number=n) for n in range(count)])
    with worker_process(settings, tmp_path, "tests.integration.retry_samples:late") as first:
        wait_until(lambda: len(noted(tmp_path, "DONE")) == count, "all others are done, far more than there is room")
        wait_until(lambda: len(held(settings, late)) == 1, "the one that waits is told of")
        wait_until(lambda: _finished_ahead(settings, late) == count, "all that is done is committed")
        first.end(signal.SIGKILL)
    with worker_process(settings, tmp_path, "tests.integration.retry_samples:late") as second:
        second.wait_for("passed over what was finished")
        (leap,) = second.logged("passed over what was finished")
        assert leap["events"] >= count - 2 * 1000
        wait_until(lambda: len(noted(tmp_path, "DONE")) > count, "the one that waited is done")
        publish(settings, [StepAsked(lane="late", number=1)])
        wait_until(lambda: lag(settings, late) == 0, "all is committed")
    done = noted(tmp_path, "DONE")
    assert done[count:] == [("late", 0), ("late", 1)]
    assert len(done) == len(set(done)) == count + 2


def _finished_ahead(settings: Settings, declared: Stream) -> int:
    return sum(len(run) for ahead in told(settings, declared) for run in ahead.finished)


async def test_a_hot_key_that_waits_takes_no_room_from_the_others(settings: Settings) -> None:
    prepare(settings)
    done: list[tuple[str, int]] = []
    behind = 5_000
    beside = next(f"lane {n}" for n in range(100) if place(f"lane {n}") == place("hot"))

    @stream("step.asked", name="roomy", room=100, retry=Retry(attempts=2, first=600.0))
    async def roomy(event: Event[StepAsked], work: Work) -> None:
        step = event.payload
        if (step.lane, step.number, work.attempt) == ("hot", 0, 1):
            raise RetryAfter(6.0)
        done.append((step.lane, step.number))

    publish(settings, steps("hot", 1))
    async with working(settings, roomy) as worker:
        await until(lambda: [part for part in worker.engines[0].parts.values() if part.held], "its first event waits")
        publish(settings, [*steps("hot", behind + 1)[1:], *steps(beside, 200)])
        await until(lambda: len(done) == 200, "the other key is through, behind far more events than there is room")
        (part,) = [part for part in worker.engines[0].parts.values() if part.held]
        assert part.count < 100
        assert part.stubs > behind - 100
        await until(lambda: len(done) == 200 + behind + 1, "the hot key is through")
        assert worker.finished == 200 + behind + 1
        assert (part.stubs, part.count, part.bytes) == (0, 0, 0)
    assert [number for lane, number in done if lane == "hot"] == list(range(behind + 1))
    assert lag(settings, roomy) == 0


async def test_what_is_deleted_while_its_key_waits_is_passed_over(settings: Settings) -> None:
    prepare(settings)
    done: list[int] = []

    @stream("step.asked", name="deleted", room=100, retry=Retry(attempts=2, first=600.0))
    async def deleted(event: Event[StepAsked], work: Work) -> None:
        if (event.payload.number, work.attempt) == (0, 1):
            raise RetryAfter(4.0)
        done.append(event.payload.number)

    publish(settings, steps("a", 1000))
    async with working(settings, deleted) as worker:
        await until(lambda: any(part.stubs for part in worker.engines[0].parts.values()), "some were let go")
        (part,) = [part for part in worker.engines[0].parts.values() if part.held]
        name = settings.qualified("step.asked")
        admin = broker.admin_client(settings)  # kept until the answer is there
        for answer in admin.delete_records([TopicPartition(name, part.number, 500)]).values():
            answer.result(WAIT_SECONDS)
        await until(lambda: lag(settings, deleted) == 0, "all is committed")
    # The one that waited was in hand; those that were let go are gone.
    assert done == [0, *range(500, 1000)]


async def test_a_handler_says_itself_when_it_is_tried_again(settings: Settings) -> None:
    prepare(settings)
    at: list[float] = []

    @stream("step.asked", name="asking", retry=Retry(attempts=3, first=300.0))
    async def asking(event: Event[StepAsked], work: Work) -> None:
        at.append(time.monotonic())
        raise RetryAfter(0.4 * work.attempt, "the shop is closed")

    publish(settings, steps("a", 1))
    async with working(settings, asking):
        (letter,) = await dead_letters(settings, 1)
    assert len(at) == 3
    assert 0.4 <= at[1] - at[0] < 10
    assert 0.8 <= at[2] - at[1] < 10
    assert header(letter, "tm_dead_error") == "tidemill.errors.RetryAfter"
    assert header(letter, "tm_dead_message") == "the shop is closed"


async def test_a_handler_in_a_process_says_it_as_well(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(settings)
    monkeypatch.setenv("TEST_LEDGER", str(tmp_path / "ledger"))
    publish(settings, steps("a", 1))
    async with working(settings, asks_for_time) as worker:
        await until(lambda: worker.finished == 1, "the second try succeeds")
    assert tries(tmp_path) == [1, 2]
    first, second = (float(line[4]) for line in ledger(tmp_path))
    assert 0.5 <= second - first < 10


async def test_an_event_that_has_expired_is_not_tried_again(settings: Settings) -> None:
    prepare(settings)
    at: list[int] = []

    @stream("step.asked", name="expiring", retry=Retry(attempts=100, first=0.3, factor=1.0, jitter=0.0, expires=2.0))
    async def expiring(event: Event[StepAsked], work: Work) -> None:
        at.append(event.payload.number)
        raise OSError("never")

    async with working(settings, expiring):
        publish(settings, steps("a", 1))
        await dead_letters(settings, 1)
        assert 2 <= len(at) <= 7
        # One that is older than that when it comes has one try all the same.
        old_ms = int((time.time() - 60) * 1000)
        _produce_at(settings, encoded(settings, StepAsked(lane="b", number=1)), old_ms)
        letters = await dead_letters(settings, 2)
    assert at.count(1) == 1
    assert {header(letter, "tm_dead_error") for letter in letters} == {"OSError"}


def _produce_at(settings: Settings, value: bytes, timestamp_ms: int) -> None:
    producer = Producer(broker.client_config(settings))
    producer.produce(settings.qualified("step.asked"), value, b"b", timestamp=timestamp_ms)
    assert producer.flush(WAIT_SECONDS) == 0


async def test_a_policy_that_outlives_the_events_is_refused_at_the_start(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="patient", retry=Retry(attempts=1000, first=600.0))
    async def patient(event: Event[StepAsked]) -> None: ...

    with pytest.raises(StreamError) as refused:
        async with working(settings, patient):
            pass
    assert "can let an event wait for 6 days, 22:30:00 in all" in str(refused.value)
    assert f"{settings.qualified('step.asked')} keeps events for 1 day, 0:00:00" in str(refused.value)
    assert "Set `expires`" in str(refused.value)
