"""`python -m tests.crash.archive_storm`: archivers and compactions killed and stopped at random, while producers write.

Producers write in transactions, some of which are aborted, with garbage, tombstones and timestamps of several days
among the events. In the end the archive is compared with what a slow, simple reader finds in the topic, event by event;
all the time it is looked whether a reader by glob sees an event twice, and whether one of the log sees all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import duckdb
from confluent_kafka import Producer

from consumers.archive.archiver import Archiver
from consumers.archive.settings import load_archive_settings
from tests.crash.archive_programs import Programs, ended
from tests.crash.archive_readers import (
    Place,
    archived_events,
    doubles_in_duckdb,
    doubles_in_polars,
    glob_of,
    slow_reader,
)
from tests.crash.storm.ground import ground, settings_for
from tests.integration.commands import command_environment
from tests.integration.steps import StepAsked
from tests.integration.working import prepare
from tidemill import broker, replay
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.errors import ArchiveError
from tidemill.replay.lake import INNER, Lake

TOPIC = StepAsked.__contract__.topic
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Orders:
    """What the storm is to be.

    Args:
        seconds: How long producers write, at most.
        disturbances: Kills and stops after which they end sooner; None for the whole time.
        producers: How many write at once.
        archivers: Programs that archive at once.
        kill_seconds: Shortest and longest time from a sign of work in the archive to the next kill or stop.
        rate: Transactions a second and producer.
        polars: Whether Polars looks for doubles, too.
        seed: Of all that is random.
    """

    seconds: float
    disturbances: int | None = None
    producers: int = 3
    archivers: int = 3
    kill_seconds: tuple[float, float] = (0.0, 0.8)
    rate: float = 20.0
    polars: bool = True
    seed: int = 1


@dataclass
class Findings:
    """What came of it; what follows `looks` must be 0."""

    events: int = 0
    garbage: int = 0
    tombstones: int = 0
    transactions: int = 0
    aborted: int = 0
    kills: int = 0
    stops: int = 0
    compaction_kills: int = 0
    commits: int = 0
    compactions: int = 0
    files: int = 0
    seconds: float = 0.0
    looks: int = 0
    """How often readers looked meanwhile."""
    lists_anew: int = 0
    """How often a reader by glob found a file gone that it had listed; it has to look again, and is told so."""
    lost: int = 0
    extra: int = 0
    differing: int = 0
    doubled: int = 0
    doubled_meanwhile: int = 0
    not_whole_meanwhile: int = 0
    strays: int = 0
    staged_left: int = 0

    @property
    def held(self) -> bool:
        """Whether all is as it should be."""
        wrong = (
            self.lost,
            self.extra,
            self.differing,
            self.doubled,
            self.doubled_meanwhile,
            self.not_whole_meanwhile,
            self.strays,
            self.staged_left,
        )
        return not any(wrong)


@dataclass
class Course:
    """What happens meanwhile, counted by the threads that do it."""

    findings: Findings = field(default_factory=Findings)
    over: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_enough(self, orders: Orders) -> bool:
        """Whether it was disturbed as often as is asked for."""
        return orders.disturbances is not None and self.findings.kills + self.findings.stops >= orders.disturbances

    def count(self, **more: int) -> None:
        """Add to the counts."""
        with self.lock:
            for name, number in more.items():
                setattr(self.findings, name, getattr(self.findings, name) + number)


def run(orders: Orders, settings: Settings) -> Findings:
    """Let it pass, and look what is there.

    Args:
        orders: What it is to be.
        settings: With a namespace and an archive that nothing else uses.
    """
    prepare(settings, StepAsked)
    course, began = Course(), time.monotonic()
    threads = [
        threading.Thread(target=_watched, args=(course, _write, orders, settings, course, number))
        for number in range(orders.producers)
    ]
    threads += [
        threading.Thread(target=_watched, args=(course, _look_by_glob, orders, settings, course)),
        threading.Thread(target=_watched, args=(course, _look_by_log, settings, course)),
    ]
    with Programs(_environment(settings)) as programs, _archivers(orders, settings, course, programs):
        threads.append(threading.Thread(target=_watched, args=(course, _compact, orders, settings, course, programs)))
        for thread in threads:
            thread.start()
        deadline = began + orders.seconds
        while time.monotonic() < deadline and not course.failures and not course.is_enough(orders):
            time.sleep(0.1)
        course.over.set()
        for thread in threads:
            thread.join()
    if course.failures:
        raise course.failures[0]
    findings = course.findings
    last = Archiver(settings, load_archive_settings(lease_seconds=1.0), [TOPIC])
    # Twice: what a kill left staged for an entry that wasn't written yet goes only once that entry is there.
    for _ in range(2):
        done = last.once()
        assert not done.failed, done.failed
    _compare(settings, findings)
    findings.seconds = round(time.monotonic() - began, 1)
    return findings


def _watched(course: Course, work: Callable[..., None], *arguments: object) -> None:
    try:
        work(*arguments)
    except BaseException as error:  # noqa: BLE001 - told by the storm itself
        course.failures.append(error)


def _write(orders: Orders, settings: Settings, course: Course, number: int) -> None:
    luck = Random(f"{orders.seed}/{number}")
    own = {"transactional.id": f"{settings.namespace}storm.{number}", "transaction.timeout.ms": 120_000}
    producer = Producer({**broker.producer_config(settings), **own})
    producer.init_transactions(30)
    topic, now_ms, count = settings.qualified(TOPIC), time.time_ns() // 1_000_000, 0
    with Registry(settings) as registry:
        codec = Codec(registry)
        while not course.over.wait(luck.expovariate(orders.rate)):
            producer.begin_transaction()
            for _ in range(luck.randint(1, 60)):
                count += 1
                what = luck.random()
                event = StepAsked(lane=f"lane-{luck.randrange(40)}", number=count, note="x" * luck.randrange(80))
                value = b"no event" if what < 0.01 else None if what < 0.03 else codec.encode(event)
                producer.produce(
                    topic,
                    value,
                    event.lane.encode(),
                    timestamp=now_ms + count - DAY_MS * luck.choice((0, 0, 0, 1, 1, 2)),
                    headers=[("ce_id", str(uuid.UUID(int=luck.getrandbits(128))).encode()), ("n", None)],
                )
            if luck.random() < 0.2:
                # Readers are to meet what is aborted; and a transaction of which nothing was sent can't be aborted
                # (librdkafka 2.16 and Kafka 4.3: INVALID_TXN_STATE, fatal).
                producer.flush(30)
                producer.abort_transaction(30)
                course.count(aborted=1)
            else:
                producer.commit_transaction(30)
                course.count(transactions=1)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **command_environment(settings),
        "TIDEMILL_ARCHIVE_LEASE_SECONDS": "1",
        "TIDEMILL_ARCHIVE_ROLL_BYTES": "60000",
    }


@contextmanager
def _archivers(orders: Orders, settings: Settings, course: Course, programs: Programs) -> Iterator[None]:
    """Archivers, one of which is killed every moment and started again, or stopped for longer than its lease."""
    luck = Random(orders.seed)
    running = [programs.start(TOPIC, "--every", "1s") for _ in range(orders.archivers)]
    asleep: dict[int, float] = {}

    def disturb() -> None:
        while not course.over.is_set():
            _await_work(settings, course)
            course.over.wait(luck.uniform(*orders.kill_seconds))
            for pid in [pid for pid, until in asleep.items() if time.monotonic() > until]:
                os.kill(pid, signal.SIGCONT)
                del asleep[pid]
            chosen = luck.randrange(len(running))
            pid = running[chosen]
            if luck.random() < 0.3 and pid not in asleep:
                os.kill(pid, signal.SIGSTOP)
                asleep[pid] = time.monotonic() + luck.uniform(1.5, 3.0)
                course.count(stops=1)
                continue
            asleep.pop(pid, None)
            os.kill(pid, signal.SIGKILL)
            course.count(kills=1)
            running[chosen] = programs.start(TOPIC, "--every", "1s")

    killer = threading.Thread(target=_watched, args=(course, disturb))
    killer.start()
    try:
        yield
    finally:
        course.over.set()
        killer.join()
        # Those that sleep wake up now, and find that others have gone on; then all end as they should.
        for pid in running:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
        assert all(ended(pid, 60) for pid in running), "an archiver didn't end when it was told to"


def _await_work(settings: Settings, course: Course) -> None:
    """Until somebody stages or commits: on a busy machine programs would be killed before they have begun."""
    lake, name = Lake.from_settings(settings), settings.qualified(TOPIC)
    before, deadline = _signs(lake, name), time.monotonic() + 10
    while time.monotonic() < deadline and not course.over.wait(0.005):
        if _signs(lake, name) - before:
            return


def _signs(lake: Lake, name: str) -> set[str]:
    return {each.uri for folder in ("staged", "log") for each in lake.store.list(f"{INNER}/{folder}/{name}")}


def _compact(orders: Orders, settings: Settings, course: Course, programs: Programs) -> None:
    """Compactions, of which some are killed."""
    luck = Random(f"{orders.seed}/compact")
    while not course.over.wait(luck.uniform(0.2, 1.5)):
        pid = programs.start("compact", TOPIC)
        if not ended(pid, luck.choice((luck.uniform(0.0, 2.0), 15.0))):
            os.kill(pid, signal.SIGKILL)
            course.count(compaction_kills=1)


def _look_by_glob(orders: Orders, settings: Settings, course: Course) -> None:
    """What readers see that know nothing of the log: never an event twice."""
    glob = glob_of(settings, TOPIC)
    while not course.over.wait(0.2):
        try:
            course.count(doubled_meanwhile=doubles_in_duckdb(glob))
            if orders.polars:
                course.count(doubled_meanwhile=doubles_in_polars(glob))
            course.count(looks=1)
        except (duckdb.IOException, FileNotFoundError) as error:
            if "No files found" not in str(error) and "expanded paths were empty" not in str(error):
                course.count(lists_anew=1)


def _look_by_log(settings: Settings, course: Course) -> None:
    """What readers of the log see: at every moment exactly what the topic has."""
    while not course.over.wait(0.5):
        query: dict[str, Any] = {"columns": ["_partition", "_offset", "_timestamp", "_key", "_value"]}
        live = replay.scan(TOPIC, settings=settings, **query)
        plan = live.plan()
        upto = dict.fromkeys(plan.next_offsets, 0) | {each.partition: each.end for each in plan.ranges}
        try:
            both = replay.scan(TOPIC, end=upto, settings=settings, archive=True, **query).to_arrow()
        except ArchiveError as error:
            if "Nothing is archived" in str(error):
                continue
            raise
        order = [("_partition", "ascending"), ("_offset", "ascending")]
        alone = replay.scan(TOPIC, end=upto, settings=settings, **query).to_arrow()
        course.count(looks=1, not_whole_meanwhile=int(not both.sort_by(order).equals(alone.sort_by(order))))


def _compare(settings: Settings, findings: Findings) -> None:
    lake, name = Lake.from_settings(settings), settings.qualified(TOPIC)
    state = lake.state(name)
    truth = slow_reader(settings, TOPIC)
    kept = archived_events(settings, TOPIC)
    places = Counter(place for place, _ in kept)
    by_place = dict(kept)
    findings.events = len(truth)
    findings.garbage = sum(value == b"no event" for _, _, value, _ in truth.values())
    findings.tombstones = sum(value is None for _, _, value, _ in truth.values())
    findings.doubled = sum(count - 1 for count in places.values())
    findings.lost = len(truth.keys() - by_place.keys())
    findings.extra = len(by_place.keys() - truth.keys())
    findings.differing = sum(by_place[place] != truth[place] for place in truth.keys() & by_place.keys())
    findings.commits, findings.files = state.sequence, len(state.files)
    findings.compactions = sum(
        bool(entry.removed) for number in range(1, state.sequence + 1) if (entry := lake.entry(name, number))
    )
    _compare_by_glob(settings, truth, findings)
    staged = [*lake.store.list(f"{INNER}/staged/{name}")]
    # What a kill left for the entry that comes next waits for that one.
    findings.staged_left = sum(int(each.uri.rpartition("/")[2].partition("-")[0]) <= state.sequence for each in staged)


def _compare_by_glob(settings: Settings, truth: dict[Place, Any], findings: Findings) -> None:
    """What DuckDB sees in the files as they lie: each event that can be read once, with its value and id."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT _partition, _offset, _value, _id, lane, _tombstone FROM read_parquet(?, union_by_name = true)",
            [glob_of(settings, TOPIC)],
        ).fetchall()
    seen = Counter((partition, offset) for partition, offset, *_ in rows)
    findings.doubled += sum(count - 1 for count in seen.values())
    readable = {place for place, (_, _, value, _) in truth.items() if value != b"no event"}
    findings.lost += len(readable - seen.keys())
    findings.strays += len(seen.keys() - readable)
    for partition, offset, value, event_id, lane, tombstone in rows:
        found = truth.get((partition, offset))
        if found is None:
            continue
        _, key, wanted, headers = found
        text = None if wanted is None else key.decode()
        right = (value, event_id, lane, tombstone) == (wanted, headers[0][1].decode(), text, wanted is None)
        findings.differing += not right


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it on a stack of its own, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.archive_storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long producers write (default: 180)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tidemill-archive-") as name:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="archive.", protocol="consumer")
            findings = run(Orders(asked.seconds, seed=asked.seed), settings)
    sys.stdout.write(json.dumps(asdict(findings), indent=1) + "\n")
    return 0 if findings.held else 1


if __name__ == "__main__":
    sys.exit(main())
