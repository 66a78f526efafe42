"""Nemeses of what workers rely on beside brokers: the registry is away, the dead letters' topics refuse all writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.crash.storm import nemeses_workers
from tests.crash.storm.events import ErrandAsked, ParcelSent
from tests.crash.storm.field import Field, Nemesis
from tests.crash.storm.notes import Doing, note
from tests.integration.working import ends, wait_until
from tidemill import broker
from tidemill.config import Settings
from tidemill.local import Stack

LIMIT = "max.message.bytes"
ANSWER_SECONDS = 15.0
BURIED_WITHIN_SECONDS = 30.0


@contextmanager
def registry_away(stack: Stack) -> Iterator[Callable[[], None]]:
    """The registry takes connections and answers nothing, until the block ends or what it gives is called."""
    (registry,) = [program for program in stack.programs if program.name == "registry"]

    registry.pause()
    try:
        yield registry.resume
    finally:
        registry.resume()


def take_the_registry_away(field: Field, luck: Random) -> str:
    """The registry is silent, and one worker is killed, so that one has to start without knowing any schema."""
    seconds = luck.uniform(6.0, 12.0)
    with registry_away(field.stack) as back:
        # By itself: the new worker may not be ready before the registry is there again.
        timer = threading.Timer(seconds, back)
        timer.start()
        try:
            struck = nemeses_workers.kill(field, luck)
        finally:
            timer.join()
    return f"for {seconds:.1f} s; killed meanwhile: {struck}"


@contextmanager
def refusing(settings: Settings, topics: Sequence[str]) -> Iterator[None]:
    """These topics take no message at all, for the time of the block: none is as small as a byte."""
    _limit(settings, topics, AlterConfigOpType.SET, "1")
    try:
        yield
    finally:
        _limit(settings, topics, AlterConfigOpType.DELETE, None)


def _limit(settings: Settings, topics: Sequence[str], operation: AlterConfigOpType, value: str | None) -> None:
    entry = ConfigEntry(LIMIT, value, incremental_operation=operation)
    resources = [
        ConfigResource(ResourceType.TOPIC, settings.qualified(topic), incremental_configs=[entry]) for topic in topics
    ]
    admin = broker.admin_client(settings)  # kept until the answer is there
    for answer in admin.incremental_alter_configs(resources, request_timeout=ANSWER_SECONDS).values():
        answer.result()


def refuse_dead_letters(field: Field, luck: Random) -> str:
    """No dead letter can be written while one is due; it must be there afterwards."""
    topics = [cls.__contract__.dead_topic for cls in (ParcelSent, ErrandAsked)]
    seconds = luck.uniform(4.0, 8.0)

    def written() -> int:
        return sum(sum(ends(field.settings, topic).values()) for topic in topics)

    with refusing(field.settings, topics):
        field.load.publish_one("parcels", note(Doing.REFUSE_ALWAYS))
        time.sleep(seconds)
        count = written()
    wait_until(lambda: written() > count, "the dead letter that was refused is written", BURIED_WITHIN_SECONDS)
    return f"{' and '.join(topics)} for {seconds:.1f} s"


NEMESES = [
    # What is promised with a worker killed takes for granted that the others know the schemas.
    Nemesis("registry-away", 1, take_the_registry_away, most_stall_seconds=None),
    Nemesis("refuse-dead-letters", 1, refuse_dead_letters),
]
