"""The scheduler's delays: how late an event is when 1,000 a second fall due, and what a million that wait cost.

Lateness is from the time an event is due to its being read by a consumer of committed events, with one scheduler; both
are processes of this machine, so their clocks agree.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from uuid_utils import uuid7

from bench.figures import Figure, median_of
from bench.ground import PARTITIONS, Course, Ground, program_variables
from bench.programs import Program, running
from tidemill import broker, delayed
from tidemill.config import Settings
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.event import DUE, Headers
from tidemill.events import ScheduleSkipped, ScheduleTick
from tidemill.topics import apply, house_topics

RATES = (100, 1_000)
"""Events due per second."""
TARGET_RATE = 1_000
MOST_P99_MS = 200.0
LATE_SECONDS = 20.0
AHEAD_SECONDS = 8.0
"""Until the first is due: time to publish them."""
WAITING = 1_000_000
VALUE_BYTES = 200
MOST_START_SECONDS = 60.0
MOST_MEGABYTES = 1_000.0
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.25
MEGABYTE = 1e6
OWNS = "owns the partition"


@dataclass(frozen=True)
class Owned:
    """A scheduler that has taken all partitions over.

    Args:
        seconds: From starting the program.
        most_bytes: The most memory of it meanwhile.
    """

    seconds: float
    most_bytes: int


def run(ground: Ground) -> list[Figure]:
    """Measure lateness at each rate, then the take-over of a million."""
    figures: list[Figure] = []
    for rate in RATES:
        rounds = [_lateness(ground, rate, number) for number in ground.rounds]
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            most = MOST_P99_MS if (rate, share) == (TARGET_RATE, 0.99) else None
            values = [each[int(len(each) * share)] for each in rounds]
            label = f"delayed events, lateness at {rate:,}/s, {name}"
            figures.append(median_of(label, values, "ms", contender="tidemill", most=most))
    count = ground.few(WAITING)
    settings = _settings(ground, "delays-waiting")
    put_off(settings, [86_400.0 + number * 0.01 for number in range(count)])
    owned = [_take_over(ground, settings) for _ in ground.rounds]
    name = f"{count:,} delayed events that wait"
    return [
        *figures,
        median_of(
            f"{name}, start to owning them",
            [each.seconds for each in owned],
            "s",
            contender="tidemill",
            most=MOST_START_SECONDS,
        ),
        median_of(
            f"{name}, memory",
            [each.most_bytes / MEGABYTE for each in owned],
            "MB",
            contender="tidemill",
            most=MOST_MEGABYTES,
        ),
    ]


def put_off(settings: Settings, seconds: Sequence[float]) -> float:
    """Let events wait, each due in so many seconds, in no order; returns from when that counts (since 1970)."""
    topic = settings.qualified(delayed.TOPIC)
    producer = Producer(broker.producer_config(settings))
    value = random.Random(1).randbytes(VALUE_BYTES)
    now = datetime.now(UTC)
    for number, wait in enumerate(random.Random(2).sample(seconds, len(seconds))):
        event_id = str(uuid7()).encode()
        headers: Headers = delayed.packed(
            settings.qualified("image.requested"),
            b"key-%d" % number,
            _envelope(event_id),
            now + timedelta(seconds=wait),
        )
        while True:
            try:
                producer.produce(topic, value, event_id, headers=[*headers])
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(PATIENCE_SECONDS):
        raise RuntimeError(f"{left} events were not delivered.")
    return now.timestamp()


def _envelope(event_id: bytes) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"image.requested"),
        ("ce_source", b"/tidemill"),
        ("content-type", b"application/avro"),
        ("ce_id", event_id),
        ("ce_time", b"2026-11-24T12:00:00.000000+00:00"),
        ("tm_root", event_id),
    ]


def _settings(ground: Ground, name: str) -> Settings:
    course: Course = ground.course(name)
    contracts = [ScheduleTick.__contract__, ScheduleSkipped.__contract__]
    apply(course.settings, contracts, house=house_topics())
    with Registry(course.settings) as registry:
        register_contracts(registry, contracts, dry_run=False)
    return course.settings


def _lateness(ground: Ground, rate: int, number: int) -> list[float]:
    """Milliseconds, sorted."""
    settings = _settings(ground, f"delays-{rate}-{number + 1}")
    seconds = 3.0 if ground.quick else LATE_SECONDS
    count = round(rate * seconds)
    with running([sys.executable, "-m", "tidemill", "scheduler"], _variables(settings)) as program:
        until_owned(program)
        luck = random.Random(number)
        put_off(settings, [AHEAD_SECONDS + luck.uniform(0.0, seconds) for _ in range(count)])
        late = sorted(_read(settings, count, AHEAD_SECONDS + seconds + PATIENCE_SECONDS))
    ground.say(f"{rate:,}/s: p50 {late[count // 2]:.1f} ms, p99 {late[int(count * 0.99)]:.1f} ms, most {late[-1]:.1f}")
    return late


def _read(settings: Settings, count: int, most_seconds: float) -> list[float]:
    consumer = Consumer({**broker.consumer_config(settings, "bench-delays"), "fetch.wait.max.ms": 10})
    topic = settings.qualified("image.requested")
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    late: list[float] = []
    deadline = time.monotonic() + most_seconds
    while len(late) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(late)} of {count} delayed events came within {most_seconds:g} s.")
        first = consumer.poll(0.2)
        messages = [] if first is None else [first, *consumer.consume(1000, 0)]
        now = time.time()
        for message in messages:
            if message.error() is None:
                headers: Any = message.headers()
                late.append((now - datetime.fromisoformat(dict(headers)[DUE].decode()).timestamp()) * 1000)
    consumer.close()
    return late


def _take_over(ground: Ground, settings: Settings) -> Owned:
    with running([sys.executable, "-m", "tidemill", "scheduler"], _variables(settings)) as program:
        owned = until_owned(program)
    ground.say(f"owned after {owned.seconds:.1f} s, {owned.most_bytes / MEGABYTE:.0f} MB")
    return owned


def until_owned(program: Program) -> Owned:
    """Wait until a scheduler owns every partition of what waits."""
    most_bytes = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _owned(program) < delayed.PARTITIONS:
        program.require_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"The scheduler doesn't own its partitions:\n{program.output()[-2000:]}")
        most_bytes = max(most_bytes, program.pss_bytes())
        time.sleep(LOOK_SECONDS)
    return Owned(time.monotonic() - program.started_at, max(most_bytes, program.pss_bytes()))


def _owned(program: Program) -> int:
    lines = (json.loads(line) for line in program.output().splitlines() if line.startswith("{") and line.endswith("}"))
    return sum(line["event"] == OWNS and line["topic"].endswith(delayed.TOPIC) for line in lines)


def _variables(settings: Settings) -> dict[str, str]:
    return {**program_variables(settings), "TIDEMILL_LOG_FORMAT": "json", "TIDEMILL_LOG_LEVEL": "info"}
