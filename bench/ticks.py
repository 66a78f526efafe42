"""How late ticks are where a thousand jobs are due in the same second, and what a scheduler costs that has none due.

Lateness is what a reader of committed events sees: from a tick's scheduled time to its arrival. So the scheduler's
wait, its transaction and the way to the reader are in it. There is nobody to compare with: others don't say to a
reader of a topic when something was due.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import Consumer, TopicPartition

from bench.figures import Figure, median_of
from bench.ground import Ground, program_variables
from bench.programs import Program, running
from bench.start import settled
from scheduler.log import partitions_of
from scheduler.topics import JOBS as JOBS_TOPIC
from tidemill import broker
from tidemill.cli.app import prepare_contracts
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.events import ImageRequested, ScheduleTick

JOBS = 1_000
PERIOD_SECONDS = 5
ROUNDS = 12
QUICK_ROUNDS = 2
WARM_UP_ROUNDS = 2
"""Of the first one the jobs may be put into force too late, and a broker that has just started compiles its code."""
MOST_P99_MS = 250.0
MOST_WAIT_SECONDS = 60.0
IDLE_SECONDS = 20.0
MEGABYTE = 1e6
WHO = "tidemill"
CLOSELY = {"fetch.wait.max.ms": 20, "fetch.queue.backoff.ms": 5}
"""Of the reader: it isn't what is measured."""


def run(ground: Ground) -> list[Figure]:
    """Measure ticks alone, then ticks with an event each, then a scheduler of which nothing is due."""
    figures = []
    for emits, what in ((False, f"{JOBS:,} ticks"), (True, f"{JOBS:,} ticks and events")):
        rounds = _late(ground, emits=emits)
        name = f"lateness, {what}"
        pooled = sorted(late for late_ms in rounds for late in late_ms)
        figures += [
            median_of(f"{name}, p50", [_share(late_ms, 0.5) for late_ms in rounds], "ms", contender=WHO),
            _of_all(f"{name}, p99", _share(pooled, 0.99), rounds, 0.99, most=MOST_P99_MS),
            _of_all(f"{name}, most", pooled[-1], rounds, 1.0),
        ]
        ground.say(f"{what}: p50 {_share(pooled, 0.5):.0f}, p99 {_share(pooled, 0.99):.0f}, most {pooled[-1]:.0f} ms")
    cpu_percent, megabytes = _idle(ground)
    name = f"{JOBS:,} jobs, none due"
    return [
        *figures,
        Figure(f"processor, {name}", cpu_percent, "% of one", WHO, note=f"over {_idle_seconds(ground):g} s"),
        Figure(f"memory, {name}", megabytes, "MB", WHO),
    ]


def _of_all(
    name: str, value: float, rounds: Sequence[Sequence[float]], share: float, *, most: float | None = None
) -> Figure:
    """A figure of all ticks together; each round's own beside it."""
    target, met = ("", None) if most is None else (f"at most {most:g}", value <= most)
    each = tuple(_share(late_ms, share) for late_ms in rounds)
    return Figure(name, value, "ms", WHO, each, target=target, met=met, note="all rounds together")


def _share(sorted_ms: Sequence[float], share: float) -> float:
    return sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * share))]


def _late(ground: Ground, *, emits: bool) -> list[list[float]]:
    """Of each round, how late each tick was: milliseconds, sorted."""
    settings = _prepared(ground, "ticks-emit" if emits else "ticks")
    wanted = QUICK_ROUNDS if ground.quick else ROUNDS
    with _scheduler(settings, f'every = "{PERIOD_SECONDS}s"', emits=emits), Registry(settings) as registry:
        codec = Codec(registry)
        rounds: dict[float, list[float]] = {}
        deadline = time.monotonic() + MOST_WAIT_SECONDS + wanted * PERIOD_SECONDS
        for value, seen_at in _read_along(settings):
            scheduled_at = codec.decode(value, ScheduleTick).scheduled_at.timestamp()
            rounds.setdefault(scheduled_at, []).append((seen_at - scheduled_at) * 1000)
            whole = [late_ms for _, late_ms in sorted(rounds.items())[WARM_UP_ROUNDS:] if len(late_ms) == JOBS]
            if len(whole) == wanted:
                return [sorted(late_ms) for late_ms in whole]
            if time.monotonic() > deadline:
                break
    raise RuntimeError(f"{len(whole)} of {wanted} rounds were whole: {[len(each) for each in rounds.values()]} ticks")


def _read_along(settings: Settings) -> Iterator[tuple[bytes | None, float]]:
    """Ticks as they become readable, and when, seconds since 1970."""
    topic = ScheduleTick.__contract__.topic
    consumer = Consumer({**broker.consumer_config(settings, "bench-ticks"), **CLOSELY})
    try:
        consumer.assign(
            [TopicPartition(settings.qualified(topic), number, 0) for number in range(partitions_of(settings, topic))]
        )
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < MOST_WAIT_SECONDS:
            first = consumer.poll(1.0)
            seen_at = time.time()
            if first is None:
                continue
            quiet_since = time.monotonic()
            for message in [first, *consumer.consume(10_000, 0)]:
                if message.error() is None:
                    yield message.value(), seen_at
    finally:
        consumer.close()


def _idle(ground: Ground) -> tuple[float, float]:
    """Percent of one processor, and megabytes, of a scheduler whose jobs are due next year."""
    settings = _prepared(ground, "ticks-idle")
    with _scheduler(settings, 'cron = "0 0 1 1 *"', emits=True) as program:
        deadline = time.monotonic() + MOST_WAIT_SECONDS
        while program.output().count('"owns the partition"') < partitions_of(settings, JOBS_TOPIC.name):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the scheduler isn't ready:\n{program.output()[-2000:]}")
            time.sleep(0.1)
        megabytes = settled(program) / MEGABYTE
        before, began = program.cpu_seconds(), time.monotonic()
        time.sleep(_idle_seconds(ground))
        return 100 * (program.cpu_seconds() - before) / (time.monotonic() - began), megabytes


def _idle_seconds(ground: Ground) -> float:
    return 3.0 if ground.quick else IDLE_SECONDS


def _prepared(ground: Ground, name: str) -> Settings:
    settings = ground.settings.model_copy(update={"namespace": f"{name}."})
    list(prepare_contracts(settings))
    return settings


@contextmanager
def _scheduler(settings: Settings, timing: str, *, emits: bool) -> Iterator[Program]:
    """A scheduler for the time of the block."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "jobs.toml")
        file.write_text("\n".join(_job(number, timing, emits=emits) for number in range(JOBS)), encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "tidemill", "scheduler", "--jobs", file]
        with running(command, program_variables(settings, TIDEMILL_LOG_FORMAT="json")) as program:
            yield program


def _job(number: int, timing: str, *, emits: bool) -> str:
    text = f'[[job]]\nname = "job-{number:04}"\n{timing}\nmissed = "all"\n'
    if not emits:
        return text
    return text + (
        f'[job.emit]\ntype = "{ImageRequested.__contract__.type}"\n'
        '[job.emit.payload]\nsource = "file:///pictures/{{ job }}/{{ interval_start.date() }}.jpg"\n'
        'renditions = [{ name = "thumb", width = 200 }]\n'
    )
