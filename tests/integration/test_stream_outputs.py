"""What a stream's handlers return, as it arrives in Kafka: each event handled once, ids that are always the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from confluent_kafka import SerializingProducer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer

from tests.integration.steps import StepAsked, StepDone
from tests.integration.working import (
    DONE,
    events,
    forget_offsets,
    lag,
    prepare,
    publish,
    steps,
    until,
    until_there,
    working,
)
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import Event, derived_id
from tidemill.runtime.stream import stream
from tidemill.runtime.work import Output, Work


@stream("step.asked")
async def echo(event: Event[StepAsked]) -> StepDone:
    return StepDone(lane=event.payload.lane, number=event.payload.number)


async def test_every_event_is_handled_once_and_a_clean_stop_leaves_no_lag(settings: Settings) -> None:
    prepare(settings)
    seen: Counter[tuple[str, int]] = Counter()

    @stream("step.asked", name="count")
    async def count(event: Event[StepAsked]) -> None:
        seen[event.payload.lane, event.payload.number] += 1

    publish(settings, [step for lane in range(50) for step in steps(f"lane {lane}", 20)])
    async with working(settings, count) as worker:
        await until(lambda: len(seen) == 1000, "all events are handled")
        assert await worker.stop() == 0
    assert set(seen.values()) == {1}
    assert lag(settings, count) == 0


async def test_an_output_has_a_derived_id_and_says_what_job_and_event_it_comes_from(settings: Settings) -> None:
    prepare(settings)
    (asked_id,) = publish(settings, [StepAsked(lane="a", number=7)])
    async with working(settings, echo):
        await until_there(settings, DONE, 1)
    (done,) = events(settings, StepDone, 1)
    assert done.id == derived_id(asked_id, "echo:0")
    assert (done.root, done.cause, done.key, done.type) == (asked_id, asked_id, "a", "step.done")
    assert done.payload == StepDone(lane="a", number=7)


async def test_a_job_of_two_streams_keeps_its_root(settings: Settings) -> None:
    prepare(settings)
    (asked_id,) = publish(settings, [StepAsked(lane="a", number=1)])
    seen: list[Event[StepDone]] = []

    @stream("step.done", name="second")
    async def second(event: Event[StepDone]) -> None:
        seen.append(event)

    async with working(settings, echo, second):
        await until(lambda: seen, "the second stream gets the first one's output")
    assert seen[0].root == asked_id


async def test_the_same_events_run_twice_give_the_same_ids_and_payloads(settings: Settings) -> None:
    prepare(settings)

    @stream("step.asked", name="pair")
    async def pair(event: Event[StepAsked], work: Work) -> StepDone:
        work.emit(StepDone(lane=event.payload.lane, number=0, note="emitted"))
        return StepDone(lane=event.payload.lane, number=1, note="returned")

    publish(settings, steps("a", 3))
    for outputs in (6, 12):
        async with working(settings, pair):
            await until_there(settings, DONE, outputs)
        forget_offsets(settings, pair)
    done = [(event.id, event.payload) for event in events(settings, StepDone, 12)]
    assert Counter(done) == dict.fromkeys(done, 2)
    assert len(set(done)) == 6


@pytest.mark.parametrize("executor", ["async", "inline", "thread"])
async def test_outputs_come_in_order_however_they_are_made(settings: Settings, executor: Any) -> None:
    prepare(settings)

    def made(event: Event[StepAsked], work: Work) -> Any:
        work.emit(StepDone(lane="x", number=0), key="another", headers={"colour": "red"}, subject="s")
        for number in (1, 2):
            yield Output(StepDone(lane="x", number=number), key="another")

    async def made_async(event: Event[StepAsked], work: Work) -> Any:
        return made(event, work)

    handler: Any = made_async if executor == "async" else made
    many = stream("step.asked", name="many", executor=executor)(handler)
    publish(settings, [StepAsked(lane="a", number=0)])
    async with working(settings, many):
        await until_there(settings, DONE, 3)
    done = events(settings, StepDone, 3)
    assert [event.payload.number for event in done] == [0, 1, 2]
    assert {event.key for event in done} == {"another"}
    assert dict(done[0].headers) == {"colour": b"red"}
    assert done[0].subject == "s"


async def test_events_of_foreign_producers_flow_through_with_ids_that_stay_the_same(
    settings: Settings, confluent: SchemaRegistryClient
) -> None:
    prepare(settings)
    serializer = AvroSerializer(confluent, StepAsked.__contract__.schema_json, conf={"auto.register.schemas": False})
    producer = SerializingProducer({**broker.client_config(settings), "value.serializer": serializer})
    for number in range(5):
        value = {"lane": "f", "number": number, "note": ""}
        producer.produce(settings.qualified("step.asked"), value=value, key=b"f")
    producer.flush(10)
    seen: list[Event[StepAsked]] = []

    @stream("step.asked", name="foreign")
    async def foreign(event: Event[StepAsked]) -> StepDone:
        seen.append(event)
        return StepDone(lane="f", number=event.payload.number)

    for count in (5, 10):
        async with working(settings, foreign):
            await until_there(settings, DONE, count)
        forget_offsets(settings, foreign)
    assert [event.payload.number for event in seen] == [0, 1, 2, 3, 4] * 2
    ids = [event.id for event in seen]
    assert ids[:5] == ids[5:]
    assert len(set(ids)) == 5
    assert seen[0].type == settings.qualified("step.asked")
    done = events(settings, StepDone, 10)
    assert [event.cause for event in done] == ids
    assert [event.id for event in done][:5] == [event.id for event in done][5:]
