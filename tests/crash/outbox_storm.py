"""`python -m tests.crash.outbox_storm`: writers with random rollbacks, relays killed, a broker restarted.

Each key has a row of its own whose number grows by one with each event; a rollback takes it back. So whatever was
committed is, for each key, exactly the numbers from 1 on, in order: what readers of committed events must see.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import psycopg

from producers.outbox.topics import TOPICS
from scheduler.log import read_log
from tests.crash.storm.ground import ground, settings_for
from tests.integration.commands import command_environment
from tests.integration.postgres import running_postgres
from tests.integration.steps import StepAsked
from tests.integration.working import prepare, settle
from tidemill import outbox
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.local import Stack
from tidemill.topics import apply, house_topics

KEYS = 200
MOST_PER_TRANSACTION = 20
ROLLBACKS = 0.25
DRAIN_SECONDS = 120.0


@dataclass(frozen=True)
class Orders:
    """What the storm is to be.

    Args:
        rows: Committed rows, at least.
        writers: Connections that write at once.
        relays: Programs that move at once.
        kill_seconds: Shortest and longest time between two kills.
        seed: Of all that is random.
    """

    rows: int
    writers: int = 8
    relays: int = 2
    kill_seconds: tuple[float, float] = (2.0, 5.0)
    seed: int = 1


@dataclass
class Findings:
    """What came of it; all but the first five must be 0."""

    committed: int = 0
    rolled_back: int = 0
    kills: int = 0
    broker_restarts: int = 0
    seconds: float = 0.0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    never_committed: int = 0
    left_in_table: int = 0

    @property
    def held(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.doubled or self.out_of_order or self.never_committed or self.left_in_table)


@dataclass
class Course:
    """What happens meanwhile, counted by the threads that do it."""

    committed: Counter[str] = field(default_factory=Counter)
    rolled_back: int = 0
    kills: int = 0
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(orders: Orders, settings: Settings, dsn: str, restart_broker: Stack | None) -> Findings:
    """Let it pass, and look what is there.

    Args:
        orders: What it is to be.
        settings: With a namespace that nothing else uses.
        dsn: An empty database of Postgres.
        restart_broker: Whose first broker is killed and started again half-way; None for no such act.
    """
    prepare(settings, StepAsked)
    apply(settings, [], house=[*house_topics(), *TOPICS])
    with psycopg.connect(dsn) as connection:
        connection.execute(outbox.ddl("postgresql"))
        connection.execute("CREATE TABLE accounts (key text PRIMARY KEY, number bigint NOT NULL)")
        connection.execute("INSERT INTO accounts SELECT 'key-' || n, 0 FROM generate_series(0, %s) AS n", [KEYS - 1])
    course, began = Course(), time.monotonic()
    findings = Findings()
    writers = [
        threading.Thread(target=_watched, args=(course, _write, orders, settings, dsn, course, number))
        for number in range(orders.writers)
    ]
    with _relays(orders, settings, dsn, course):
        for writer in writers:
            writer.start()
        if restart_broker is not None:
            _wait(lambda: sum(course.committed.values()) >= orders.rows // 2 or course.failures, DRAIN_SECONDS * 5)
            broker = restart_broker.broker(1)
            broker.kill()
            broker.start()
            findings.broker_restarts = 1
        for writer in writers:
            writer.join()
        _wait(lambda: _rows(dsn) == 0 or course.failures, DRAIN_SECONDS)
    findings.seconds = round(time.monotonic() - began, 1)
    if course.failures:
        raise course.failures[0]
    findings.rolled_back, findings.kills = course.rolled_back, course.kills
    findings.left_in_table = _rows(dsn)
    _compare(settings, course.committed, findings)
    return findings


def _watched(course: Course, work: object, *arguments: object) -> None:
    try:
        work(*arguments)  # type: ignore[operator]
    except BaseException as error:  # noqa: BLE001 - told by the storm itself
        course.failures.append(error)


def _write(orders: Orders, settings: Settings, dsn: str, course: Course, number: int) -> None:
    luck = Random(f"{orders.seed}/{number}")
    with psycopg.connect(dsn) as connection:
        while sum(course.committed.values()) < orders.rows and not course.failures:
            keys = sorted(f"key-{luck.randrange(KEYS)}" for _ in range(luck.randint(1, MOST_PER_TRANSACTION)))
            steps = []
            for key in keys:
                bump = "UPDATE accounts SET number = number + 1 WHERE key = %s RETURNING number"
                (found,) = connection.execute(bump, [key]).fetchone() or (0,)
                steps.append(StepAsked(lane=key, number=found))
            outbox.add_many(connection, steps, settings=settings)
            if luck.random() < ROLLBACKS:
                connection.rollback()
                with course.lock:
                    course.rolled_back += len(steps)
                continue
            connection.commit()
            with course.lock:
                course.committed.update(keys)


@contextmanager
def _relays(orders: Orders, settings: Settings, dsn: str, course: Course) -> Iterator[None]:
    """Relays, one of which is killed every few seconds and started again."""
    over, luck = threading.Event(), Random(orders.seed)
    running = [_relay(settings, dsn) for _ in range(orders.relays)]

    def kill() -> None:
        while not over.wait(luck.uniform(*orders.kill_seconds)):
            chosen = luck.randrange(len(running))
            running[chosen].kill()
            running[chosen].wait()
            course.kills += 1
            running[chosen] = _relay(settings, dsn)

    killer = threading.Thread(target=_watched, args=(course, kill))
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()
        for relay in running:
            relay.send_signal(signal.SIGTERM)
        for relay in running:
            relay.wait(30)


def _relay(settings: Settings, dsn: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **command_environment(settings), "TIDEMILL_OUTBOX_URL": dsn}
    return subprocess.Popen(
        [sys.executable, "-m", "tidemill", "outbox", "relay"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _rows(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        (count,) = connection.execute("SELECT count(*) FROM tidemill_outbox").fetchone() or (0,)
    return int(count)


def _wait(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.1)


def _compare(settings: Settings, committed: Counter[str], findings: Findings) -> None:
    findings.committed = sum(committed.values())
    seen: defaultdict[str, list[int]] = defaultdict(list)
    ids: Counter[str] = Counter()
    settle(settings, StepAsked.__contract__.topic)
    with Registry(settings) as registry:
        codec = Codec(registry)
        for message in read_log(settings, StepAsked.__contract__.topic):
            step = codec.decode(message.value(), StepAsked)
            seen[step.lane].append(step.number)
            ids[Event.received(step, message).id] += 1
    findings.doubled = sum(count - 1 for count in ids.values())
    for key in committed.keys() | seen.keys():
        wanted = set(range(1, committed[key] + 1))
        findings.lost += len(wanted - set(seen[key]))
        findings.never_committed += len(set(seen[key]) - wanted)
        findings.out_of_order += sum(later < earlier for earlier, later in zip(seen[key], seen[key][1:], strict=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it on a stack and a database of its own, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.outbox_storm", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="committed rows (default: 100,000)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tidemill-outbox-") as name, running_postgres(durable=True) as postgres:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="outbox.", protocol="consumer")
            dsn = postgres.new_database().replace("+psycopg", "")
            findings = run(Orders(asked.rows, seed=asked.seed), settings, dsn, stack)
    sys.stdout.write(json.dumps(asdict(findings), indent=1) + "\n")
    return 0 if findings.held else 1


if __name__ == "__main__":
    sys.exit(main())
