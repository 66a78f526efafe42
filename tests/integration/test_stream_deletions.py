"""Events that are gone before they were read, and logs that are shorter than what was read: an alarm, never silence."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from structlog.testing import capture_logs

from tests.integration.steps import PARTITIONS, StepAsked, StepDone
from tests.integration.working import ASKED, committed, lag, prepare, publish, steps, until, working
from tidemill import broker
from tidemill.cli.group_check import check_groups
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.events import JobProgress
from tidemill.partitioning import partition_of
from tidemill.runtime.stream import Stream, stream

DELETED = "events were deleted before they were read"


def place(lane: str) -> int:
    return partition_of(lane.encode(), PARTITIONS)


ONE = "lane 0"
OTHER = next(lane for lane in (f"lane {number}" for number in range(100)) if place(lane) != place(ONE))


def delete_before(settings: Settings, offsets: Mapping[int, int]) -> None:
    """Delete all events before these offsets, as retention does."""
    admin = broker.admin_client(settings)
    parts = [TopicPartition(settings.qualified(ASKED), number, offset) for number, offset in offsets.items()]
    for answer in admin.delete_records(parts).values():
        answer.result(10)


def commit(settings: Settings, stream: Stream, offsets: Mapping[int, int]) -> None:
    """Commit offsets for a group without members."""
    consumer = Consumer(broker.consumer_config(settings.model_copy(update={"group_protocol": "classic"}), stream.group))
    parts = [TopicPartition(settings.qualified(stream.topic), number, offset) for number, offset in offsets.items()]
    consumer.commit(offsets=parts, asynchronous=False)
    consumer.close()


def alarms(log: list[Any]) -> list[tuple[int, int, int, int]]:
    """Partition, first deleted offset, first one left, and how many events, of each alarm."""
    told = [entry for entry in log if entry["event"] == DELETED]
    assert all(entry["log_level"] == "error" for entry in told)
    return sorted(
        (entry["partition"], entry["from_offset"], entry["to_offset"], entry["events_at_most"]) for entry in told
    )


async def test_events_deleted_while_no_worker_ran_are_an_alarm_once_and_the_rest_is_handled(
    settings: Settings,
) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[tuple[str, int]] = []

    @stream("step.asked", name="late")
    async def late(event: Event[StepAsked]) -> None:
        seen.append((event.payload.lane, event.payload.number))

    publish(settings, [*steps(ONE, 10), *steps(OTHER, 10)])
    async with working(settings, late):
        await until(lambda: len(seen) == 20, "the first are handled")
    publish(settings, [*steps(ONE, 30)[10:], *steps(OTHER, 30)[10:]])
    # Of the one some are left; of the other none.
    delete_before(settings, {place(ONE): 25, place(OTHER): 30})
    seen.clear()
    # Seen from outside, too, before any worker has come to that place.
    doctor = check_groups(settings)
    assert doctor.ok is False
    assert f"15 events of {settings.qualified(ASKED)} [{place(ONE)}] were deleted unread" in doctor.found
    with capture_logs() as log:
        async with working(settings, late):
            await until(
                lambda: len(seen) == 5 and len(alarms(log)) == 2, "the rest is handled, and the alarms are there"
            )
    assert seen == [(ONE, number) for number in range(25, 30)]
    assert alarms(log) == sorted([(place(ONE), 10, 25, 15), (place(OTHER), 10, 30, 20)])
    # What is gone is passed over for good: no second alarm, and no lag that nobody can work off.
    assert committed(settings, late) == {place(ONE): 30, place(OTHER): 30}
    publish(settings, steps(OTHER, 1))
    with capture_logs() as log:
        async with working(settings, late):
            await until(lambda: len(seen) == 6, "the next is handled")
    assert alarms(log) == []
    assert lag(settings, late) == 0
    assert check_groups(settings).found == "1 group, nothing left to do"


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_events_deleted_under_a_worker_that_is_too_slow_are_an_alarm_and_it_goes_on(
    settings: Settings, protocol: Any
) -> None:
    settings = settings.model_copy(update={"group_protocol": protocol})
    prepare(settings, StepAsked, StepDone, JobProgress)
    release = asyncio.Event()
    seen: Counter[tuple[str, int]] = Counter()

    @stream("step.asked", name="slow", room=10)
    async def slow(event: Event[StepAsked]) -> None:
        await release.wait()
        seen[event.payload.lane, event.payload.number] += 1

    publish(settings, [*steps(ONE, 3000), *steps(OTHER, 50)])
    with capture_logs() as log:
        async with working(settings, slow) as first:
            await until(lambda: len(first.paused) == 2, "both are full")
            (engine,) = first.engines
            held = engine.parts[settings.qualified(ASKED), place(ONE)].count
            delete_before(settings, {place(ONE): 2900})
            release.set()
            await until(lambda: len(seen) == held + 100 + 50, "all that is left is handled")
            assert alarms(log) == [(place(ONE), held, 2900, 2900 - held)]
            # A partition that was set on again moves as any other does.
            async with working(settings, slow) as second:
                (other,) = second.engines
                await until(lambda: len(engine.parts) == len(other.parts) == PARTITIONS // 2, "half of all has moved")
                publish(settings, [*steps(ONE, 3100)[3000:], *steps(OTHER, 100)[50:]])
                await until(lambda: len(seen) == held + 100 + 50 + 100 + 50, "what comes later is handled")
    assert set(seen.values()) == {1}
    assert alarms(log) == [(place(ONE), held, 2900, 2900 - held)]
    assert lag(settings, slow) == 0


async def test_a_log_that_ends_before_what_was_read_is_an_alarm_and_is_read_from_its_beginning(
    settings: Settings,
) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: Counter[tuple[str, int]] = Counter()

    @stream("step.asked", name="anew")
    async def anew(event: Event[StepAsked]) -> None:
        seen[event.payload.lane, event.payload.number] += 1

    publish(settings, [*steps(ONE, 20), *steps(OTHER, 20)])
    # As after a loss of what was acknowledged: the group had come further than the log goes.
    commit(settings, anew, {place(ONE): 500, place(OTHER): 20})
    with capture_logs() as log:
        async with working(settings, anew):
            await until(lambda: len(seen) == 20, "the log is read from its beginning")
    (told,) = [entry for entry in log if entry["log_level"] == "error"]
    assert told["event"] == "the log doesn't go as far as it was read, it is read again from its beginning"
    assert (told["partition"], told["read_up_to"], told["log_begins"], told["log_ends"]) == (place(ONE), 500, 0, 20)
    assert dict(seen) == {(ONE, number): 1 for number in range(20)}
    assert committed(settings, anew) == {place(ONE): 20, place(OTHER): 20}


async def test_a_new_group_begins_with_what_there_is_and_raises_no_alarm(settings: Settings) -> None:
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[int] = []

    @stream("step.asked", name="young")
    async def young(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    publish(settings, steps(ONE, 20))
    delete_before(settings, {place(ONE): 5})
    with capture_logs() as log:
        async with working(settings, young):
            await until(lambda: len(seen) == 15, "all that there is is handled")
    assert seen == list(range(5, 20))
    assert [entry for entry in log if entry["log_level"] in ("error", "warning")] == []
    assert lag(settings, young) == 0


async def test_a_new_group_that_wants_the_latest_begins_with_what_comes_after_it(settings: Settings) -> None:
    settings = settings.model_copy(update={"kafka": {"auto.offset.reset": "latest"}})
    prepare(settings, StepAsked, StepDone, JobProgress)
    seen: list[int] = []

    @stream("step.asked", name="modern")
    async def modern(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    publish(settings, steps(ONE, 5))
    async with working(settings, modern):
        number = 5
        while not seen:  # Its first look at the log's end is some moments after its assignment.
            assert number < 1000
            await asyncio.to_thread(publish, settings, [StepAsked(lane=ONE, number=number)])
            number += 1
        await until(lambda: seen[-1] == number - 1, "what comes from then on is handled")
    assert seen == list(range(seen[0], number))
    assert seen[0] >= 5
