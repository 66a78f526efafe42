"""Draining a backlog with a stream that does nothing: one process, Avro decoding and the full envelope.

Beside it, in turn: a bare confluent-kafka + fastavro loop, and plain Faust with the same decoding.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.events import ordinary_event
from bench.figures import Figure, median_of, ratios
from bench.programs import environment, running, wait_for_report, worker
from tidemill.config import Settings
from tidemill.publisher import Publisher


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Measure; the backlog is made first."""
    count, few, rounds = (100_000, 20_000, 1) if quick else (400_000, 40_000, 3)
    _fill(settings, count)
    rates: dict[str, list[float]] = {"noop": [], "noop-batch": [], "bare": [], "faust": []}
    for number in range(rounds):
        for name in rates:
            rates[name].append(_rate(settings, name, few if name == "faust" else count, number))
    bare = rates["bare"]
    return [
        median_of("bare confluent-kafka + fastavro loop", bare, "events/s"),
        median_of("no-op stream, one process", rates["noop"], "events/s"),
        median_of("no-op stream beside the bare loop", ratios(rates["noop"], bare), "x", least=0.5),
        median_of("no-op stream of batches", rates["noop-batch"], "events/s"),
        median_of("no-op batches beside the bare loop", ratios(rates["noop-batch"], bare), "x"),
        median_of("plain Faust with the same decoding", rates["faust"], "events/s"),
        median_of("no-op stream beside plain Faust", ratios(rates["noop"], rates["faust"]), "x", least=6),
    ]


def _fill(settings: Settings, count: int) -> None:
    # Uncompressed, since plain Faust's consumer reads lz4 only with a further package.
    with Publisher(settings.model_copy(update={"compression": "none"})) as publisher:
        for number in range(count):
            publisher.publish(ordinary_event(number))


def _rate(settings: Settings, name: str, count: int, number: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        variables = environment(settings, BENCH_COUNT=str(count), BENCH_REPORT=str(report), BENCH_DATADIR=folder)
        if name in ("bare", "faust"):
            arguments = [sys.executable, "-m", "bench.streams", name, str(count)]
        else:
            # Every round reads from the beginning: a group of its own, but the topic without a namespace.
            arguments = worker(f"bench.rounds:{name.replace('-', '_')}_{number}")
        with running(arguments, variables) as process:
            found = wait_for_report(report, process, 90)
        return float(found["count"] / found["seconds"])
