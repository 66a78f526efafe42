"""What a measurement stands on: a Kafka, perhaps a Redis, who takes part, and fresh topics for each course."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.contenders.catalogue import Contender, Kind
from bench.contenders.ours import ordinary_event
from bench.programs import ROOT, Program, running
from bench.redis_server import RedisServer
from bench.sample import request
from tidemill import broker
from tidemill.cli.terminal import err
from tidemill.config import Settings
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.events import ImageRequested
from tidemill.publisher import Publisher
from tidemill.topics import apply

PARTITIONS = 12
PUBLISH_SECONDS = 120.0


@dataclass(frozen=True)
class Course:
    """Topics of their own, so that one measurement doesn't meet the events of another.

    Args:
        settings: With the namespace of this course.
        json_topic: Where the contenders that send JSON have theirs.
    """

    settings: Settings
    json_topic: str

    @property
    def avro_topic(self) -> str:
        """Where events in Avro are."""
        return self.settings.qualified(ImageRequested.__contract__.topic)

    def topic(self, contender: Contender) -> str:
        """Where a contender has its events; of no meaning to those on Redis."""
        return self.json_topic if contender.wire == "json" else self.avro_topic


@dataclass(frozen=True)
class Ground:
    """Where measurements take place.

    Args:
        settings: Addresses of Kafka and the registry.
        contenders: Who takes part, in order.
        redis: For those that need one.
        broker_pids: Processes of Kafka, to be pinned.
        quick: One short round each: to see that everything runs.
    """

    settings: Settings
    contenders: Sequence[Contender]
    redis: RedisServer | None
    broker_pids: Sequence[int]
    quick: bool

    @property
    def nowhere(self) -> Course:
        """For programs that neither publish nor consume."""
        return Course(self.settings, "")

    @property
    def rounds(self) -> range:
        """Rounds of a measurement; medians need three at least."""
        return range(1 if self.quick else 3)

    def say(self, line: str) -> None:
        """Tell a person who waits how far it is."""
        err.print(f"  {line}", markup=False, highlight=False)

    def few(self, count: int) -> int:
        """So many events, or a tenth where it has to be quick."""
        return max(100, count // 10) if self.quick else count

    def course(self, name: str, partitions: int = PARTITIONS) -> Course:
        """Fresh topics.

        Args:
            name: Unique on this ground.
            partitions: Of each topic.
        """
        course = Course(self.settings.model_copy(update={"namespace": f"{name}."}), f"{name}.json")
        contract = replace(ImageRequested.__contract__, partitions=partitions)
        apply(course.settings, [contract])
        with Registry(course.settings) as registry:
            register_contracts(registry, [contract], dry_run=False)
        admin: AdminClient = broker.admin_client(self.settings)
        for future in admin.create_topics([NewTopic(course.json_topic, partitions, 1)]).values():
            future.result(30)
        return course

    def variables(self, contender: Contender, course: Course, **more: str) -> dict[str, str]:
        """The environment of a contender's program."""
        settings = course.settings
        return {
            **program_variables(settings),
            "TIDEMILL_LOG_LEVEL": "warning",
            "BENCH_KAFKA": settings.bootstrap_servers,
            "BENCH_REDIS": self.redis.url if self.redis else "",
            "BENCH_TOPIC": course.topic(contender),
            **more,
        }

    def publish(
        self,
        contender: Contender,
        course: Course,
        count: int,
        *,
        rate: float = 0,
        kind: Kind = "noop",
        warm_up: int = 0,
        arguments: Sequence[str] | None = None,
    ) -> float:
        """Let a contender publish; returns the seconds that it took, acknowledgements included.

        Args:
            contender: Who.
            course: Where to.
            count: How many events.
            rate: Events per second; 0 for as fast as it can.
            kind: `late` lets the events carry the time.
            warm_up: How many further events come first, at the same rate, and don't carry it.
            arguments: Another way than `contender.publishing`.
        """
        variables = self.variables(
            contender,
            course,
            BENCH_COUNT=str(warm_up + count),
            BENCH_WARM_UP=str(warm_up),
            BENCH_RATE=str(rate),
            BENCH_KIND=kind,
            BENCH_GROUP="publisher",
        )
        command: list[str | Path] = [contender.python, *(arguments or contender.publishing)]
        with running(command, variables) as program:
            said = program.wait(PUBLISH_SECONDS)
        return float(json.loads(said.splitlines()[-1])["seconds"])

    @contextmanager
    def working(
        self, contender: Contender, kind: Kind, course: Course, group: str, *, count: int = 0
    ) -> Iterator[Program]:
        """A contender's worker for the time of the block.

        Args:
            contender: Whose.
            kind: What its handlers do.
            course: What it reads.
            group: Its consumer group; a fresh one reads from the beginning.
            count: How many delays are noted at most, with `late`.
        """
        variables = self.variables(
            contender, course, BENCH_COUNT=str(count), BENCH_KIND=kind.partition("-")[0], BENCH_GROUP=group
        )
        with running([contender.python, *contender.working[kind]], variables) as program:
            yield program

    def empty_redis(self) -> None:
        """Take what a round has left out of Redis."""
        if self.redis is not None:
            self.redis.empty()


def fill(course: Course, count: int) -> None:
    """Publish so many events to both topics of a course.

    Uncompressed, since Faust's own consumer reads lz4 only with a further package.
    """
    settings = course.settings.model_copy(update={"compression": "none"})
    with Publisher(settings) as publisher:
        for number in range(count):
            publisher.publish(ordinary_event(number))


def fill_json(course: Course, count: int) -> None:
    """The same for those that read JSON."""
    producer = Producer(broker.producer_config(course.settings.model_copy(update={"compression": "none"})))
    for number in range(count):
        event = request(number, timed=False)
        while True:
            try:
                producer.produce(course.json_topic, json.dumps(event), event["source"])
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} of {count} events were not delivered.")


def program_variables(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a program of Tidemill's."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TIDEMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TIDEMILL_REGISTRY_URL": settings.registry_url,
        "TIDEMILL_NAMESPACE": settings.namespace,
        "TIDEMILL_STATE_DIR": str(settings.state_dir),
        "TIDEMILL_STORE_ALLOW": json.dumps(settings.store_allow),
        **more,
    }
