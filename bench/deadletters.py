"""How fast dead letters are indexed and listed: `python -m bench.deadletters [--letters 1000000] [--read 100000]`.

So many are written to Kafka and read; the rows of the rest are copies of theirs, with places and ids of their own. Then
`tidemill dead list` is run as a program, with all that it asks of the cluster.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from sqlalchemy import text

from consumers.deadletters.database import Database
from consumers.deadletters.index import NEVER_SECONDS, opened
from consumers.deadletters.settings import load_dead_settings
from consumers.deadletters.tables import LETTERS
from consumers.deadletters.topics import TOPICS
from tests.crash.storm.ground import ground, settings_for
from tests.integration.commands import command_environment
from tests.integration.steps import StepAsked
from tests.integration.working import prepare
from tidemill import broker
from tidemill.config import Settings
from tidemill.runtime import deadletter
from tidemill.topics import apply, house_topics

ROUNDS = 5
FAILURES = 200
"""Kinds of failures, so many groups."""
PROGRAM = """
import sys
import typer
from consumers.deadletters.command import register
app = typer.Typer()
register(app)
try:
    app()
finally:
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
TRACE = """Traceback (most recent call last):
  File "/srv/shop/.venv/lib/python3.11/site-packages/tidemill/runtime/engine.py", line 241, in _try
    returned = await self._invoke(events, work)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/shop/step_{kind}.py", line 17, in handle
    raise ValueError(f"order {{number}} of {{customer!r}} has no total")
ValueError: order {number} of 'customer-{number}' has no total
"""


def _write(settings: Settings, count: int) -> None:
    contract = StepAsked.__contract__
    producer = Producer({**broker.producer_config(settings), "linger.ms": 50})
    fixed: list[tuple[str, str | bytes | None]] = [
        ("ce_type", contract.type.encode()),
        ("ce_source", b"/bench"),
        ("ce_time", b"2026-11-30T17:00:00.000000+00:00"),
        (deadletter.ERROR, b"ValueError"),
        (deadletter.ATTEMPTS, b"5"),
        (deadletter.TOPIC, settings.qualified(contract.topic).encode()),
        (deadletter.PARTITION, b"0"),
        (deadletter.TIME, b"2026-11-30T17:00:01.000000+00:00"),
    ]
    for number in range(count):
        kind = number * 7919 % FAILURES
        headers = [
            ("ce_id", b"0199c1f0-6a2b-7c3d-8e4f-%012d" % number),
            *fixed,
            (deadletter.STREAM, b"stream-%d" % (kind % 5)),
            (deadletter.HANDLER, b"shop.step_%d:handle" % kind),
            (deadletter.MESSAGE, b"order %d of 'customer-%d' has no total" % (number, number)),
            (deadletter.TRACE, TRACE.format(kind=kind, number=number).encode()),
            (deadletter.OFFSET, b"%d" % number),
        ]
        topic = settings.qualified(contract.dead_topic)
        producer.produce(topic, b"\0\0\0\0\1" + b"x" * 200, b"key-%d" % (number % 10_000), headers=headers)
        producer.poll(0)
    producer.flush(120)


def _copy(settings: Settings, read: int, letters: int) -> None:
    """Rows of as many more letters."""
    moved = {"offset": '"offset" + :by', "event_id": "event_id || '-' || :by", "death": "substr(:by || death, 1, 20)"}
    names = [column.name for column in LETTERS.columns if column.name not in ("id", "waits")]
    values = ", ".join(moved.get(name, f'"{name}"') for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    statement = text(
        f'INSERT INTO {LETTERS.name} ({columns}) SELECT {values} FROM {LETTERS.name} WHERE "offset" < :one'
    )
    database = Database(settings, load_dead_settings())
    for by in range(read, letters, read):
        with database.writing() as connection:
            connection.execute(statement, {"by": by, "one": read})
    database.close()


def _listed(settings: Settings, *arguments: str) -> tuple[float, float, int]:
    """How long the program takes in seconds, how much of a processor's time that is, and its peak memory in bytes."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", PROGRAM, "dead", "list", *arguments]
    environment = {**os.environ, **command_environment(settings)}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    # Told by itself: what its parent's waiting tells begins with the parent's own.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, busy, int(done.stderr.split()[-1]) * 1024


def main() -> None:
    """Write, index, list."""
    parser = argparse.ArgumentParser(prog="python -m bench.deadletters", description=__doc__)
    parser.add_argument("--letters", type=int, default=1_000_000)
    parser.add_argument("--read", type=int, default=100_000, help="how many of them lie in Kafka")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="bench.", protocol="consumer")
            prepare(settings, StepAsked)
            apply(settings, [], house=[*house_topics(), *TOPICS])
            _write(settings, asked.read)
            began = time.process_time()
            with opened(settings, load_dead_settings()) as index:
                found = index.catch_up(NEVER_SECONDS)
            busy = found.letters / (time.process_time() - began)
            print(
                f"indexed: {found.letters:,} letters, {found.letters / found.seconds:,.0f}/s, {busy:,.0f}/processor s"
            )
            _copy(settings, asked.read, asked.letters)
            size = (settings.state_dir / "dead-bench.db").stat().st_size
            print(f"index of {asked.letters:,} letters: {size / 1e6:,.0f} MB")
            for arguments in (
                (),
                ("--stream", "stream-1"),
                ("--since", "1d"),
                ("--where", "message like '%of ''customer-7%'"),
            ):
                times = [_listed(settings, *arguments) for _ in range(ROUNDS)]
                seconds, busy = (statistics.median(each[at] for each in times) for at in (0, 1))
                memory = max(each[2] for each in times)
                shown = " ".join(("tidemill dead list", *arguments))
                print(f"{shown:70} {seconds:6.2f} s (processor {busy:.2f} s), {memory / 1e6:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
