"""How fast a topic becomes a table, beside what else one could use: `python -m bench.replay [--events 2000000]`.

All of it in one run, each in a process of its own, three rounds in turn, so that whatever else the machine does slows
all of them alike. kcat (Debian's package), pandas and DuckDB take part where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from bench.machine import machine_facts
from tests.integration.commands import command_environment
from tidemill import broker
from tidemill.config import Settings, load_settings
from tidemill.contracts.registry import Registry
from tidemill.local import Stack

TOPIC = "bench.replay"
PARTITIONS = 6
UNIQUE_EVENTS = 200_000
"""Published again and again; with few of them, the file would be compressed better than any in earnest."""
BATCH_EVENTS = 5_000
ROUNDS = 3
KAFKA_JAVA = ("-Xmx1g", "-Xms1g", "-XX:+UseG1GC")
RESULTS = Path(__file__).parent / "results"
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "PageViewed",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "visitor", "type": "string"},
        {"name": "url", "type": "string"},
        {"name": "agent", "type": "string"},
        {"name": "referrer", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "duration_ms", "type": "int"},
        {"name": "bytes_sent", "type": "long"},
        {"name": "score", "type": "double"},
        {"name": "is_new", "type": "boolean"},
        {"name": "device", "type": {"type": "enum", "name": "Device", "symbols": ["PHONE", "TABLET", "DESK"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}


@dataclass(frozen=True)
class Way:
    """One way to read the topic."""

    label: str
    events: int
    """How many it reads: the slow ones fewer."""


def main() -> None:
    """Fill a topic, read it in every way, print a table and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="How many the fast ways read.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", help="Ways, comma-separated.")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "EVENTS", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(*given.child)
        return
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        own = load_settings(state_dir=folder / "state")
        with Stack.start(own, kafka_port=0, registry_port=0, kafka_java=KAFKA_JAVA) as stack:
            settings = stack.settings
            size_bytes = _fill(settings, given.events)
            _say(f"{given.events:,} events of {size_bytes} bytes in {PARTITIONS} partitions")
            _compare(settings, folder, given, size_bytes)


def _compare(settings: Settings, folder: Path, given: argparse.Namespace, size_bytes: int) -> None:
    ways = [way for way in _ways(given.events) if not given.only or way.label in given.only.split(",")]
    found: dict[str, list[dict[str, float]]] = {way.label: [] for way in ways}
    for number in range(given.rounds):
        for way in ways:
            figures = _run(settings, folder, way)
            found[way.label].append(figures)
            _say(f"round {number + 1}: {way.label:<18} {figures['per_second']:>12,.0f} events/s")
    _show(ways, found)
    report = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "event_bytes": size_bytes,
        "partitions": PARTITIONS,
        "ways": [{**asdict(way), "rounds": found[way.label]} for way in ways],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"replay-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _ways(events: int) -> list[Way]:
    few, some = max(1, events // 20), max(1, events // 4)
    ways = [Way("parquet", events), Way("parquet-exact", some), Way("ndjson", few)]
    if find_spec("pandas"):
        ways.append(Way("pandas-naive", max(1, events // 40)))
    if shutil.which("kcat"):
        ways.append(Way("kcat-raw", events))
    if find_spec("duckdb"):
        ways.append(Way("duckdb-ndjson", few))
    return ways


def _run(settings: Settings, folder: Path, way: Way) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.replay", "--child", way.label, str(way.events), str(folder)]
    environment = {**os.environ, **command_environment(settings)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return {**figures, "per_second": way.events / figures["seconds"]}


def _child(label: str, events: str, folder: str) -> None:
    settings, count, where = load_settings(), int(events), Path(folder)
    read: Callable[[Settings, int, Path], int] = {
        "parquet": lambda *arguments: _export(*arguments, format_="parquet"),
        "parquet-exact": lambda *arguments: _export(*arguments, format_="parquet", fast=False),
        "ndjson": lambda *arguments: _export(*arguments, format_="ndjson"),
        "pandas-naive": _naive,
        "kcat-raw": _kcat,
        "duckdb-ndjson": _duckdb,
    }[label]
    began, cpu = time.perf_counter(), time.process_time()
    done = read(settings, count, where)
    seconds = time.perf_counter() - began
    if done != count:
        sys.exit(f"{label} read {done:,} events instead of {count:,}")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    children = used[1].ru_utime + used[1].ru_stime
    figures = {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu + children,
        "peak_mb": used[1 if label == "kcat-raw" else 0].ru_maxrss / 1000,
    }
    sys.stdout.write(json.dumps(figures))


def _ranges(count: int) -> tuple[dict[int, int], dict[int, int]]:
    """Offsets by partition that are so many events together."""
    share, rest = divmod(count, PARTITIONS)
    return dict.fromkeys(range(PARTITIONS), 0), {each: share + (each < rest) for each in range(PARTITIONS)}


def _export(settings: Settings, count: int, folder: Path, *, format_: str, fast: bool = True) -> int:
    from tidemill.replay import scan
    from tidemill.replay.export import export

    source = scan(TOPIC, *_ranges(count), fast=fast, settings=settings)
    return export(source, folder / f"events.{format_}", format_, replace=True).events


def _naive(settings: Settings, count: int, folder: Path) -> int:
    """As examples on the web do it: poll, the registry's deserializer, a list of dicts, a frame, a file."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    client = SchemaRegistryClient({"url": settings.registry_url, "timeout": 10})
    decode = AvroDeserializer(client)
    name = settings.qualified(TOPIC)
    context = SerializationContext(name, MessageField.VALUE)
    consumer = Consumer({**broker.client_config(settings), "group.id": "bench.naive", "enable.partition.eof": True})
    _, ends = _ranges(count)
    consumer.assign([TopicPartition(name, partition, 0) for partition in ends])
    left, found = set(ends), []
    while left:
        message = consumer.poll(1.0)
        if message is None:
            continue
        partition: Any = message.partition()
        error = message.error()
        offset: Any = message.offset()
        if error is not None or offset >= ends[partition]:
            left.discard(partition)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                sys.exit(str(error))
            continue
        found.append(decode(message.value(), context))
    consumer.close()
    client.close()
    # Without type information, and not of the project's own packages.
    frame = import_module("pandas").DataFrame(found)
    frame.to_parquet(folder / "naive.parquet", compression="zstd")
    return len(frame)


def _kcat(settings: Settings, count: int, folder: Path) -> int:
    """The bytes alone: nothing is decoded, nothing kept."""
    command = ["kcat", "-C", "-q", "-b", settings.bootstrap_servers, "-t", settings.qualified(TOPIC)]
    subprocess.run([*command, "-o", "beginning", "-e", "-f", "%o"], stdout=subprocess.DEVNULL, check=True)
    return count


def _duckdb(settings: Settings, count: int, folder: Path) -> int:
    """Of the lines that `ndjson` exported before: what asking them takes, without the export."""
    import duckdb

    found = duckdb.connect().execute(
        "select count(*), count(distinct url), avg(score) from read_json(?)", [str(folder / "events.ndjson")]
    )
    (events, _, _) = found.fetchone() or (0, 0, 0)
    return int(events)


def _fill(settings: Settings, events: int) -> int:
    """Fill the topic; how large one event is, in bytes."""
    from fastavro import parse_schema, schemaless_writer

    admin = broker.admin_client(settings)
    name = settings.qualified(TOPIC)
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    with Registry(settings) as registry:
        schema_id = registry.register(f"{TOPIC}-value", json.dumps(SCHEMA)).schema_id
    schema = parse_schema(dict(SCHEMA))
    prefix = b"\0" + schema_id.to_bytes(4, "big")
    values = []
    for number in range(UNIQUE_EVENTS):
        body = BytesIO()
        schemaless_writer(body, schema, _event(number))
        values.append(prefix + body.getvalue())
    producer = Producer(
        {
            **broker.client_config(settings),
            "linger.ms": 50,
            "compression.type": "lz4",
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )
    _, ends = _ranges(events)
    for partition, end in ends.items():
        _produce(producer, name, partition, end, values)
    if left := producer.flush(120):
        sys.exit(f"{left} events could not be published")
    return round(statistics.mean(map(len, values)))


def _produce(producer: Producer, name: str, partition: int, count: int, values: list[bytes]) -> None:
    for start in range(0, count, BATCH_EVENTS):
        numbers = range(start, min(start + BATCH_EVENTS, count))
        some = [{"value": values[each % len(values)], "key": b"visitor %d" % (each % 1000)} for each in numbers]
        while producer.produce_batch(name, some, partition=partition) < len(some):
            some = [each for each in some if each.pop("_error", None) is not None]
            producer.poll(0.1)
        # The queue has room for some seconds' worth of them.
        while len(producer) > 500_000:
            producer.poll(0.05)


def _event(number: int) -> dict[str, Any]:
    return {
        "id": f"0199{number:08x}-7c3e-7a51-9d2b-{number:012x}",
        "visitor": f"visitor-{number % 1000:06d}",
        "url": f"https://shop.example.org/products/{number % 700}/details?ref={number % 13}",
        "agent": f"Mozilla/5.0 (X11; Linux) rv:{number % 140}",
        "referrer": None if number % 3 else "https://search.example.com/",
        "at": 1_795_000_000_000 + number,
        "duration_ms": number * 7 % 30_000,
        "bytes_sent": number * 1_000_003 % 10_000_000,
        "score": number / 7,
        "is_new": number % 5 == 0,
        "device": ("PHONE", "TABLET", "DESK")[number % 3],
        "tags": ["spring", "sale"][: number % 3],
    }


def _show(ways: list[Way], found: dict[str, list[dict[str, float]]]) -> None:
    _say(f"{'':<18} {'events':>10} {'events/s':>12} {'low':>12} {'high':>12} {'CPU µs/event':>13} {'peak MB':>8}")
    for way in ways:
        rounds = found[way.label]
        rates = [each["per_second"] for each in rounds]
        cpu = statistics.median(each["cpu_seconds"] for each in rounds) / way.events * 1e6
        peak = max(each["peak_mb"] for each in rounds)
        figures = (
            f"{statistics.median(rates):>12,.0f} {min(rates):>12,.0f} {max(rates):>12,.0f} {cpu:>13.2f} {peak:>8,.0f}"
        )
        _say(f"{way.label:<18} {way.events:>10,} {figures}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
