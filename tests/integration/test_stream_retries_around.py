"""Retries without order: a long wait goes around by schedule.delayed, and comes back on a topic of the stream's own.

The test plays the scheduler: it takes what waits, and puts it where it is to go.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    ASKED,
    DEAD,
    DONE,
    WAIT_SECONDS,
    Working,
    dead_letters,
    encoded,
    ends,
    header,
    lag,
    messages,
    prepare,
    produce,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill import broker, delayed
from tidemill.config import Settings
from tidemill.errors import UnknownTopic
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work
from tidemill.topics import read_topics, wanted_topics
from tidemill.topics.house import DELAYED


def make_delayed(settings: Settings) -> None:
    """Make schedule.delayed, as `tidemill topics apply` does."""
    (topic,) = wanted_topics(settings, [], house=[DELAYED], brokers=1)
    new = NewTopic(topic.name, topic.partitions, topic.replication, config=topic.config)
    admin = broker.admin_client(settings)  # kept until the answer is there
    admin.create_topics([new])[topic.name].result(WAIT_SECONDS)


def _pairs(message: Message) -> Any:
    return message.headers()


def dispatch(settings: Settings, message: Message) -> None:
    """Do what the scheduler does with an event that is due."""
    parcel = delayed.unpacked(_pairs(message))
    producer = Producer(broker.client_config(settings))
    producer.produce(parcel.topic, message.value(), parcel.key, headers=list(parcel.headers))
    assert producer.flush(WAIT_SECONDS) == 0


async def test_without_order_a_long_wait_goes_around_and_holds_nothing(settings: Settings) -> None:
    prepare(settings)
    make_delayed(settings)
    seen: list[tuple[int, int, str]] = []

    @stream("step.asked", name="around", order="none", retry=Retry(attempts=3, first=60.0, jitter=0.0, in_place=1.0))
    async def around(event: Event[StepAsked], work: Work) -> StepDone:
        seen.append((event.payload.number, work.attempt, event.id))
        if event.payload.note == "fail" and work.attempt < 3:
            raise OSError("not yet")
        return StepDone(lane=event.payload.lane, number=event.payload.number)

    before = time.time()
    publish(settings, [StepAsked(lane="a", number=0, note="fail"), *steps("a", 3)])
    async with working(settings, around) as worker:
        await until_there(settings, DONE, 3)
        await until_there(settings, delayed.TOPIC, 1)
        # What waits elsewhere counts as done here.
        await until(lambda: lag(settings, around) == 0, "all is committed")
        assert worker.finished == 3
        (waiting,) = await asyncio.to_thread(messages, settings, delayed.TOPIC, 1)
        due = delayed.unpacked(_pairs(waiting)).due.timestamp()
        assert before + 60 <= due <= time.time() + 60
        await asyncio.to_thread(dispatch, settings, waiting)
        await until_there(settings, delayed.TOPIC, 2)
        both = await asyncio.to_thread(messages, settings, delayed.TOPIC, 2)
        (second,) = [each for each in both if each.key() != waiting.key()]
        await asyncio.to_thread(dispatch, settings, second)
        await until_there(settings, DONE, 4)
        await until(lambda: worker.finished == 4, "it is done")
    failing = [(attempt, event_id) for number, attempt, event_id in seen if attempt > 1 or (number, attempt) == (0, 1)]
    assert sorted(attempt for attempt, _ in failing)[-2:] == [2, 3]
    assert len({event_id for attempt, event_id in failing if attempt > 1}) == 1
    assert sum(ends(settings, DEAD).values()) == 0


async def test_of_two_workers_each_has_a_share_of_what_is_new_and_of_what_comes_back(settings: Settings) -> None:
    prepare(settings)
    make_delayed(settings)

    @stream("step.asked", name="shared", order="none", retry=Retry(attempts=2, first=60.0))
    async def shared(event: Event[StepAsked], work: Work) -> None:
        return None

    async with working(settings, shared) as one, working(settings, shared) as other:
        new = settings.qualified(ASKED)

        def shares(worker: Working) -> tuple[int, int]:
            (engine,) = worker.engines
            of_new = sum(topic == new for topic, _ in engine.parts)
            return of_new, len(engine.parts) - of_new

        # Kafka's default assignor gave one of them all four of the one topic, and the other those of the other.
        await until(lambda: shares(one) == shares(other) == (2, 2), "each has two partitions of each topic")


async def test_the_dead_letter_of_an_event_that_went_around_is_the_event_as_it_was(settings: Settings) -> None:
    prepare(settings)
    make_delayed(settings)
    ids: list[str] = []

    @stream("step.asked", name="lost", order="none", retry=Retry(attempts=2, first=60.0, jitter=0.0))
    async def lost(event: Event[StepAsked]) -> None:
        ids.append(event.id)
        raise OSError("never")

    value = encoded(settings, StepAsked(lane="k", number=1))
    headers = [("colour", b"red"), ("colour", b"blue"), ("raw", b"\xff\x00"), ("tm_attempt", b"7"), ("tm_due", b"then")]
    produce(settings, [value], key=b"k\xff\x00", headers=headers, partition=2)
    async with working(settings, lost):
        await until_there(settings, delayed.TOPIC, 1)
        (waiting,) = await asyncio.to_thread(messages, settings, delayed.TOPIC, 1)
        await asyncio.to_thread(dispatch, settings, waiting)
        (letter,) = await dead_letters(settings, 1)
    assert (letter.key(), letter.value()) == (b"k\xff\x00", value)
    assert _pairs(letter)[:5] == headers
    assert all(name.startswith("tm_dead_") for name, _ in _pairs(letter)[5:])
    assert header(letter, "tm_dead_attempts") == "2"
    assert header(letter, "tm_dead_topic") == settings.qualified("step.asked")
    assert (header(letter, "tm_dead_partition"), header(letter, "tm_dead_offset")) == ("2", "0")
    # An id that follows from its place is the same at every try.
    assert len(set(ids)) == 1
    assert len(ids) == 2


async def test_what_cannot_go_around_waits_where_it_is(settings: Settings) -> None:
    prepare(settings)
    make_delayed(settings)
    attempts: list[int] = []

    @stream("step.asked", name="stays", order="none", retry=Retry(attempts=2, first=1.0, jitter=0.0, in_place=0.1))
    async def stays(event: Event[StepAsked], work: Work) -> None:
        attempts.append(work.attempt)
        raise OSError("never")

    produce(settings, [encoded(settings, StepAsked(lane="k", number=1))], key=b"k", headers=[("none", None)])
    async with working(settings, stays):
        (letter,) = await dead_letters(settings, 1)
    assert attempts == [1, 2]
    assert _pairs(letter)[0] == ("none", None)
    assert sum(ends(settings, delayed.TOPIC).values()) == 0


async def test_a_stream_whose_retries_go_around_says_what_topic_is_missing(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="needing", order="none")
    async def needing(event: Event[StepAsked]) -> None: ...

    with pytest.raises(UnknownTopic, match=r"schedule\.delayed \(events that needing tries again later wait on it\)"):
        async with working(settings, needing):
            pass


async def test_the_retry_topic_is_made_like_the_streams_own(settings: Settings) -> None:
    prepare(settings)
    make_delayed(settings)

    @stream("step.asked", name="making", order="none")
    async def making(event: Event[StepAsked]) -> None: ...

    async with working(settings, making):
        pass
    # A second worker finds it there.
    async with working(settings, making):
        pass
    names = [settings.qualified(name) for name in ("step.asked", "tidemill.making.retry")]
    topics = read_topics(settings, names)
    asked, retry = (topics[name] for name in names)
    assert (retry.partitions, retry.replication) == (asked.partitions, asked.replication)
    assert retry.config["retention.ms"] == asked.config["retention.ms"]
    assert int(retry.config["max.message.bytes"]) > int(asked.config["max.message.bytes"])
