"""A topic that gains partitions while workers run: they are consumed from their beginning, without a restart."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.integration.steps import PARTITIONS, StepAsked
from tests.integration.working import ASKED, ends, lag, prepare, publish, until, until_there, working
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import Event
from tidemill.runtime.stream import stream

LANES = [f"lane {number}" for number in range(24)]
MORE = PARTITIONS + 3


def add_partitions(settings: Settings, topic: str, count: int) -> None:
    name = settings.qualified(topic)
    admin = broker.admin_client(settings)  # kept until the answer is there
    admin.create_partitions([NewPartitions(name, count)])[name].result(10)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_new_partitions_are_consumed_from_their_beginning_while_the_worker_runs(
    settings: Settings, protocol: Any
) -> None:
    # The classic protocol sees them when the client refreshes what it knows of the topic: by default after 10 s.
    sooner = {"topic.metadata.refresh.interval.ms": "500"}
    settings = settings.model_copy(update={"group_protocol": protocol, "kafka": sooner})
    prepare(settings)
    seen: Counter[tuple[str, int]] = Counter()
    places: dict[str, set[int]] = defaultdict(set)

    @stream("step.asked", name="growing")
    async def growing(event: Event[StepAsked]) -> None:
        seen[event.payload.lane, event.payload.number] += 1
        places[event.payload.lane].add(event.position[1])

    def both(number: int) -> list[StepAsked]:
        return [StepAsked(lane=lane, number=number) for lane in LANES]

    publish(settings, both(0))
    async with working(settings, growing) as worker:
        await until(lambda: len(seen) == 24, "what there was is handled")
        add_partitions(settings, ASKED, MORE)
        # Events are in the new partitions before anybody in the group knows of them.
        publisher_knows = False
        while not publisher_knows:
            await asyncio.to_thread(publish, settings, both(1))
            publisher_knows = len(ends(settings, ASKED)) == MORE and all(ends(settings, ASKED).values())
        await until_there(settings, ASKED, 48)
        (engine,) = worker.engines
        await until(lambda: len(engine.parts) == MORE, "the worker has the new partitions", seconds=10)
        await until(lambda: len(seen) == 48, "what lies in them is handled", seconds=10)
    assert lag(settings, growing) == 0
    # Keys move with the number of partitions: a key's later events may lie in another partition than its earlier ones.
    assert any(len(found) == 2 for found in places.values())
