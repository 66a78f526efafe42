"""`python -m tests.crash.redrive_storm`: a redrive of many letters, killed (-9) half-way several times and given again.

Each letter's event carries its place within its key. What readers of committed events must see in the end is, for each
key, exactly those places, in order, each once; and the index must say of each letter that it was put back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from confluent_kafka import Producer

from consumers.deadletters.cluster import Cluster
from consumers.deadletters.index import NEVER_SECONDS, opened
from consumers.deadletters.selection import by_stream
from consumers.deadletters.settings import load_dead_settings
from consumers.deadletters.state import State
from consumers.deadletters.topics import TOPICS
from scheduler.log import read_log
from tests.crash.storm.ground import ground, settings_for
from tests.integration.commands import command_environment
from tests.integration.steps import StepAsked
from tests.integration.working import prepare, settle
from tidemill import broker
from tidemill.config import Settings
from tidemill.runtime import deadletter
from tidemill.topics import apply, house_topics

KEYS = 500
GIVE_UP_SECONDS = 600
MOST_FAILURES = 10
"""Commands that may fail by themselves: right after a kill the broker may still be at the broken-off transaction."""
PROGRAM = """
import typer
from consumers.deadletters.command import register
app = typer.Typer()
register(app)
app()
"""


@dataclass
class Findings:
    """What came of it; the last five must be 0."""

    letters: int = 0
    kills: int = 0
    redrives: int = 0
    """Commands that were given, the killed ones among them."""
    records_at_kills: str = ""
    """How many records there were when each was killed, of broken-off transactions and marks among them."""
    seconds: float = 0.0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    still_open: int = 0
    misrecorded: int = 0
    """Difference between the events that are there and what the record says."""

    @property
    def held(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.doubled or self.out_of_order or self.still_open or self.misrecorded)


def run(settings: Settings, letters: int, kills: int, seed: int) -> Findings:
    """Let it pass, and look what is there.

    Args:
        settings: With a namespace that nothing else uses.
        letters: How many.
        kills: How often it is killed at most.
        seed: Of all that is random.
    """
    prepare(settings, StepAsked)
    apply(settings, [], house=[*house_topics(), *TOPICS])
    _write(settings, letters)
    findings, luck, began = Findings(letters), Random(seed), time.monotonic()
    with opened(settings, load_dead_settings()) as index:
        index.catch_up(NEVER_SECONDS)
    cluster, at_kills = Cluster(settings), []
    while True:
        findings.redrives += 1
        command = _redrive(settings)
        if findings.kills < kills:
            # Not before it has begun, wherever that is: reading, within a transaction, between two of them.
            before = _records(cluster, settings)
            more = luck.randrange(1, max(2, letters // (kills + 1)))
            while command.poll() is None and _records(cluster, settings) < before + more:
                time.sleep(0.005)
            time.sleep(luck.random() * 0.2)
            if command.poll() is None:
                command.kill()
                command.wait()
                findings.kills += 1
                at_kills.append(_records(cluster, settings))
                continue
        if command.wait(GIVE_UP_SECONDS) in (0, 5):
            break
        assert findings.redrives < kills + MOST_FAILURES, "redrives fail; run one by hand to see why"
    findings.records_at_kills = ", ".join(map(str, at_kills))
    findings.seconds = round(time.monotonic() - began, 1)
    _compare(settings, findings)
    return findings


def _write(settings: Settings, letters: int) -> None:
    contract = StepAsked.__contract__
    producer = Producer({**broker.producer_config(settings), "linger.ms": 50})
    about: list[tuple[str, str | bytes | None]] = [
        (deadletter.STREAM, b"one"),
        (deadletter.HANDLER, b"shop:one"),
        (deadletter.ERROR, b"ValueError"),
        (deadletter.MESSAGE, b"the relay is away"),
        (deadletter.TOPIC, settings.qualified(contract.topic).encode()),
        (deadletter.PARTITION, b"0"),
    ]
    for number in range(letters):
        headers = [("ce_id", b"event-%d" % number), *about, (deadletter.OFFSET, b"%d" % number)]
        topic = settings.qualified(contract.dead_topic)
        producer.produce(topic, b"%d" % number, b"key-%d" % (number % KEYS), headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0


def _redrive(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **command_environment(settings), "TIDEMILL_DEAD_BATCH_LETTERS": "500"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "dead", "redrive", "--where", "true", "--yes", "--json"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _records(cluster: Cluster, settings: Settings) -> int:
    """Records on the events' topic; those of transactions that came to nothing, and the marks of all, among them."""
    return sum(cluster.extent([settings.qualified(StepAsked.__contract__.topic)]).ends.values())


def _compare(settings: Settings, findings: Findings) -> None:
    found: defaultdict[bytes, list[int]] = defaultdict(list)
    ids: Counter[str] = Counter()
    settle(settings, StepAsked.__contract__.topic)
    for message in read_log(settings, StepAsked.__contract__.topic):
        headers = dict(message.headers() or ())
        ids[str(headers["ce_id"])] += 1
        found[message.key() or b""].append(int(message.value() or b""))
    findings.lost = findings.letters - len(ids)
    findings.doubled = ids.total() - len(ids)
    for numbers in found.values():
        findings.out_of_order += sum(later < earlier for earlier, later in pairwise(numbers))
    with opened(settings, load_dead_settings()) as index:
        # Made anew, it says the same: all of it is in the topics.
        index.rebuild()
        with index.database.reading() as connection:
            findings.still_open = by_stream(connection, State.OPEN).get("one", 0)
            findings.misrecorded = abs(by_stream(connection, State.REDRIVEN).get("one", 0) - ids.total())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it on a stack of its own, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.redrive_storm", description=__doc__)
    parser.add_argument("--letters", type=int, default=50_000, help="default: 50,000")
    parser.add_argument("--kills", type=int, default=8, help="default: 8")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tidemill-redrive-") as name:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="redrive.", protocol="consumer")
            findings = run(settings, asked.letters, asked.kills, asked.seed)
    sys.stdout.write(json.dumps(asdict(findings), indent=1) + "\n")
    return 0 if findings.held else 1


if __name__ == "__main__":
    sys.exit(main())
