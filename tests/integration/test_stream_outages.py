"""Outages: while Kafka, the registry or the dead letters' topic refuse, events wait, and go on when they are back."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    DEAD,
    DONE,
    Forwarder,
    committed,
    dead_letters,
    ends,
    events,
    header,
    lag,
    paused_broker,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.retry import Retry
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Work


def set_max_message_bytes(settings: Settings, topic: str, most: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(most), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.qualified(topic), incremental_configs=[entry])
    admin = broker.admin_client(settings)
    admin.incremental_alter_configs([resource])[resource].result(10)


async def test_while_dead_letters_are_refused_their_partition_waits_and_others_go_on(settings: Settings) -> None:
    prepare(settings)
    set_max_message_bytes(settings, DEAD, 100)
    seen: Counter[str] = Counter()

    @stream("step.asked", name="failing", retry=Retry(attempts=1))
    async def failing(event: Event[StepAsked]) -> None:
        if event.payload.note == "bad":
            raise ValueError("bad")
        seen[event.payload.lane] += 1

    publish(settings, [StepAsked(lane="a", number=0, note="bad"), *steps("a", 5)])
    publish(settings, [step for n in range(20) for step in steps(f"lane {n}", 5)])
    async with working(settings, failing) as worker:
        await until(lambda: seen.total() == 100, "the other keys are through")
        (engine,) = worker.engines
        part = next(part for part in engine.parts.values() if part.count)
        # While it waits to be written, a rebalance need not wait for it.
        await until(lambda: part.running == 0, "nothing runs in the waiting partition")
        assert seen["a"] == 0
        assert sum(ends(settings, DEAD).values()) == 0
        await until(lambda: lag(settings, failing) == part.count + part.ahead, "the other partitions are committed")
        assert committed(settings, failing).get(part.number, 0) == (part.safe or 0)
        set_max_message_bytes(settings, DEAD, 2_000_000)
        (letter,) = await dead_letters(settings, 1)
        await until(lambda: seen["a"] == 5, "its key goes on")
        assert await worker.stop() == 0
    assert header(letter, "tm_dead_message") == "bad"
    assert lag(settings, failing) == 0


async def test_a_worker_stopped_while_dead_letters_are_refused_hands_the_event_back(settings: Settings) -> None:
    prepare(settings)
    set_max_message_bytes(settings, DEAD, 100)

    @stream("step.asked", name="failing", retry=Retry(attempts=1))
    async def failing(event: Event[StepAsked]) -> None:
        raise ValueError("bad")

    publish(settings, steps("a", 1))
    async with working(settings, failing) as worker:
        (engine,) = worker.engines
        await until(lambda: any(p.count and not p.running for p in engine.parts.values()), "the dead letter waits")
        assert await worker.stop() == 0
    assert lag(settings, failing) == 1
    set_max_message_bytes(settings, DEAD, 2_000_000)
    async with working(settings, failing):
        await dead_letters(settings, 1)
    assert lag(settings, failing) == 0


async def test_while_the_registry_is_away_events_wait_and_become_no_dead_letters(settings: Settings) -> None:
    prepare(settings)
    seen: list[int] = []

    @stream("step.asked", name="waiting")
    async def waiting(event: Event[StepAsked]) -> None:
        seen.append(event.payload.number)

    publish(settings, steps("a", 100))
    async with Forwarder(settings.registry_url) as forwarder:
        through = settings.model_copy(update={"registry_url": forwarder.url})
        await forwarder.close()
        async with working(through, waiting) as worker:
            (engine,) = worker.engines
            await until(lambda: any(part.count == 100 for part in engine.parts.values()), "the events are there")
            await until(lambda: not any(part.running for part in engine.parts.values()), "they are put off", 20)
            assert seen == []
            await forwarder.open()
            await until(lambda: seen == list(range(100)), "all are handled, in order")
            assert await worker.stop() == 0
    assert sum(ends(settings, DEAD).values()) == 0
    assert lag(settings, waiting) == 0


async def test_an_output_whose_schema_can_not_be_looked_up_waits_without_blocking_the_loop(settings: Settings) -> None:
    prepare(settings)
    attempts: list[int] = []
    registry_gone = asyncio.Event()

    @stream("step.asked", name="emitting", retry=Retry(attempts=1))
    async def emitting(event: Event[StepAsked], work: Work) -> None:
        attempts.append(work.attempt)
        await registry_gone.wait()
        # No annotation tells of this output, so nothing was looked up at the start.
        work.emit(StepDone(lane="a", number=event.payload.number))

    async with Forwarder(settings.registry_url) as forwarder:
        through = settings.model_copy(update={"registry_url": forwarder.url})
        async with working(through, emitting):
            publish(settings, steps("a", 1))
            await until(lambda: len(attempts) == 1, "the worker knows the schema of what it reads")
            await forwarder.close()
            registry_gone.set()
            await until(lambda: len(attempts) >= 2, "the event is put off and tried again")
            await forwarder.open()
            await until_there(settings, DONE, 1)
    assert set(attempts) == {1}
    assert sum(ends(settings, DEAD).values()) == 0
    assert lag(settings, emitting) == 0


async def test_while_the_broker_is_paused_outputs_wait_and_become_no_dead_letters(
    settings: Settings, stack: Any
) -> None:
    prepare(settings)
    paused = asyncio.Event()
    attempts: Counter[int] = Counter()

    @stream("step.asked", name="publishing", retry=Retry(attempts=1))
    async def publishing(event: Event[StepAsked], work: Work) -> StepDone:
        await paused.wait()
        attempts[work.attempt] += 1
        return StepDone(lane="a", number=event.payload.number)

    impatient = settings.model_copy(update={"delivery_timeout_seconds": 1.0})
    publish(settings, steps("a", 3))
    async with working(impatient, publishing) as worker:
        (engine,) = worker.engines
        await until(lambda: any(part.count == 3 for part in engine.parts.values()), "the events are there")
        with paused_broker(stack, settings):
            paused.set()
            await until(lambda: attempts[1] >= 2, "the first one's output wasn't delivered in time")
        await until_there(settings, DONE, 3)
        await until(lambda: worker.finished == 3, "all are done")
        assert await worker.stop() == 0
    assert set(attempts) == {1}
    assert sum(ends(settings, DEAD).values()) == 0
    # Published once more, with the same id: whether the first was written was unknown.
    assert len({event.id for event in events(settings, StepDone)}) == 3
    assert lag(settings, publishing) == 0
