"""`python -m tests.crash.replay_exactness`: exports from topics that are written to, compacted and cut off meanwhile.

Each export is compared with what a slow reader finds in the same offsets, before it and after it: a consumer of
committed messages, one poll at a time, and fastavro. Records only go away, so an export lies between the two; and where
these agree, it is the same. Nothing else of the product is believed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet
from confluent_kafka import KafkaException, Producer

from tests.crash.storm.ground import settings_for
from tests.integration.replay_topics import RawTopic, slowly
from tidemill.config import Settings, load_settings
from tidemill.errors import BrokerError
from tidemill.local import Stack
from tidemill.replay.export import export

KEYS = 40
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KAFKA = {
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.delete.retention.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "500",
}
COMPACTED = {
    "cleanup_policy": "compact",
    "segment_ms": "400",
    "min_cleanable_dirty_ratio": "0.01",
    "delete_retention_ms": "200",
}
CUT = {"segment_ms": "400", "retention_ms": "4000"}


@dataclass
class Outcome:
    """What a storm has shown."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Storm:
    """Writers, and exports beside them.

    Args:
        settings: Of the cluster.
        folder: For the exports.
        seed: Of what is random.
    """

    def __init__(self, settings: Settings, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._stopped = threading.Event()
        self.outcome = Outcome()
        self.topics = [
            RawTopic(settings, partitions=3),
            RawTopic(settings, partitions=2, **COMPACTED),
            RawTopic(settings, partitions=2, **CUT),
        ]

    def run(self, seconds: float) -> Outcome:
        """Write, cut off and export for so long."""
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(2)]
        threads.append(threading.Thread(target=self._cut))
        for thread in threads:
            thread.start()
        chance, number = Random(self._seed), 0
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline or number < len(self.topics):
                self._compare(self.topics[number % len(self.topics)], chance, number)
                number += 1
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join(60)
        return self.outcome

    def _write(self, number: int) -> None:
        chance = Random(f"{self._seed} {number}")
        producers: dict[int, list[Producer]] = {}
        while not self._stopped.is_set():
            place = chance.randrange(len(self.topics))
            topic = self.topics[place]
            if chance.random() < 0.02 or place not in producers:
                codec = chance.choice(CODECS)
                name = f"{topic.name}.{number}.{chance.random()}"
                plain = topic.producer(compression_type=codec)
                transactional = topic.producer(compression_type=codec, transactional_id=name)
                producers[place] = [plain, transactional]
                with suppress(KafkaException):
                    transactional.init_transactions(20)
            # What fails while a broker is away is a transaction more that was aborted, or an event less.
            try:
                self._write_some(topic, chance, *producers[place])
            except KafkaException:
                self.outcome.counts["writers' failures"] += 1
                del producers[place]
                time.sleep(0.1)

    def _write_some(self, topic: RawTopic, chance: Random, plain: Producer, transactional: Producer) -> None:
        ending = chance.choices(("none", "commit", "abort"), (3, 4, 4))[0]
        producer = plain if ending == "none" else transactional
        if ending != "none":
            transactional.begin_transaction()
        for _ in range(chance.choice((1, 3, 30, 300))):
            partition = chance.randrange(topic.partitions)
            key = f"key {chance.randrange(KEYS)}".encode()
            topic.put(producer, self._value(topic, chance), partition, key)
        if producer.flush(20):
            raise KafkaException("not delivered")
        if ending == "commit":
            transactional.commit_transaction(20)
        elif ending == "abort":
            transactional.abort_transaction(20)
        self.outcome.counts[f"writes ended by {ending}"] += 1

    @staticmethod
    def _value(topic: RawTopic, chance: Random) -> bytes | None:
        match chance.randrange(40):
            case 0:
                return None
            case 1:
                return chance.randbytes(chance.randrange(20))
            case 2:
                return topic.reading(1)[: chance.randrange(5, 9)]
        return topic.reading(chance.getrandbits(40), "text " * chance.randrange(20))

    def _cut(self) -> None:
        """Delete the beginning now and then, as retention does in its own time."""
        chance = Random(f"{self._seed} cut")
        topic = self.topics[2]
        while not self._stopped.wait(chance.uniform(0.5, 2)):
            # A broker may be away.
            with suppress(KafkaException, BrokerError):
                for each in topic.scan().plan().ranges:
                    topic.delete_records(each.partition, each.start + (each.end - each.start) * 9 // 10)
                    self.outcome.counts["deletions"] += 1

    def _compare(self, topic: RawTopic, chance: Random, number: int) -> None:
        path = self._folder / f"{number}.parquet"
        scan = topic.scan(fast=chance.random() < 0.7)
        try:
            plan = scan.plan()
            bounds = {each.partition: (each.start, each.end) for each in plan.ranges}
            before = {(each.partition, each.offset): each for each in slowly(topic.settings, topic.name, bounds)}
            # The same ranges again, and not what has come since.
            ends = {each.partition: each.end for each in plan.ranges}
            starts = {each.partition: each.start for each in plan.ranges}
            done = export(topic.scan(starts, ends, fast=scan.fast), path, "parquet", replace=True)
            after = {(each.partition, each.offset) for each in slowly(topic.settings, topic.name, bounds)}
        except (BrokerError, KafkaException, AssertionError) as error:
            # Only where a broker was away for long: it says so, and is tried again.
            self.outcome.counts["exports that were given up"] += 1
            self.outcome.counts[f"because: {str(error)[:90]}"] += 1
            return
        table = pyarrow.parquet.read_table(path).to_pylist()
        rows = {(row["_partition"], row["_offset"]): row for row in table}
        aside = Path(f"{path}.quarantine.ndjson")
        garbage = [json.loads(line) for line in aside.read_text().splitlines()] if aside.exists() else []
        for each in self._folder.iterdir():
            each.unlink()
        tally = done.tally
        self.outcome.counts["exports"] += 1
        self.outcome.counts["events compared"] += len(rows)
        self.outcome.counts["put aside"] += len(garbage)
        self.outcome.counts["gaps told"] += len(tally.gaps)
        self.outcome.counts["exports while records went away"] += len(after) < len(before)

        def check(is_so: bool, what: str) -> None:
            if not is_so:
                self.outcome.faults.append(f"export {number} of {topic.name}: {what}")

        check(len(rows) == len(table), "a row twice")
        check(tally.read == tally.events + tally.tombstones + tally.garbage + tally.filtered, f"counts: {tally}")
        check((tally.events, tally.garbage) == (len(rows), len(garbage)), "counts and files differ")
        put_aside = {(each["partition"], each["offset"]) for each in garbage}
        seen = {*rows} | put_aside
        check(not {*rows} & put_aside, "an event is a row and put aside")
        check(seen <= {*before}, f"{len(seen - {*before})} that were never committed")
        check(after <= {*before}, "the slow reader found more the second time")
        valued = {place for place in after & {*before} if before[place].value is not None}
        check(valued <= seen, f"{len(valued - seen)} are missing that are still there")
        missing = {*before} - {*after} - seen
        told = {(gap.partition, each) for gap in tally.gaps for each in range(gap.start, gap.end)}
        if topic is not self.topics[1]:
            check({place for place in missing if before[place].value is not None} <= told, "what is gone wasn't told")
        for place, row in rows.items():
            if place in before:
                self._check_row(check, topic, before[place], row)
        for place in put_aside & {*before}:
            check(not _reads(topic, before[place].value), f"{place} was put aside and is none the less an event")

    @staticmethod
    def _check_row(check: Any, topic: RawTopic, found: Any, row: dict[str, Any]) -> None:
        expected = topic.decode(found.value)
        got = {name: row[name] for name in expected}
        check(got == expected, f"{found.partition}:{found.offset} is {got} for {expected}")
        check(row["_key"].encode() == found.key, f"{found.partition}:{found.offset} has another key")
        check(round(row["_timestamp"].timestamp() * 1000) == found.timestamp_ms, "another timestamp")


def _reads(topic: RawTopic, value: bytes | None) -> bool:
    try:
        return topic.encode(topic.decode(value or b"")) == value
    except Exception:  # noqa: BLE001  # fastavro raises nearly anything
        return False


@contextmanager
def _troubled(stack: Stack, seconds: float, seed: int) -> Iterator[Counter[str]]:
    """A broker that stands still or dies now and then, for the time of the block."""
    stopped, done, chance = threading.Event(), Counter[str](), Random(f"{seed} trouble")

    def trouble() -> None:
        while not stopped.wait(seconds):
            broker = stack.broker(1)
            if chance.random() < 0.5:
                broker.pause()
                stopped.wait(chance.uniform(0.5, 4))
                broker.resume()
                done["pauses"] += 1
            else:
                broker.kill()
                broker.start()
                done["kills"] += 1

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        yield done
    finally:
        stopped.set()
        thread.join(60)


def main() -> None:
    """Run it on a cluster of its own, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.replay_exactness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--trouble", type=float, default=20, help="Seconds between two troubles of the broker.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-replay-") as name:
        folder = Path(name)
        (folder / "exports").mkdir()
        own = load_settings(state_dir=folder / "stack")
        with Stack.start(own, kafka_port=0, registry_port=0, kafka_settings=KAFKA, timeout_seconds=150) as stack:
            settings = settings_for(stack, folder, namespace="exact.", protocol="consumer")
            storm = Storm(settings, folder / "exports", given.seed)
            with _troubled(stack, given.trouble, given.seed) as troubles:
                outcome = storm.run(given.seconds)
    lines = [f"{count:>10,}  {what}" for what, count in sorted({**outcome.counts, **troubles}.items())]
    faults = [f"FAULT: {fault}" for fault in outcome.faults[:20]]
    sys.stdout.write("\n".join([f"seed {given.seed}", *lines, *faults, ""]))
    sys.exit(bool(outcome.faults))


if __name__ == "__main__":
    main()
