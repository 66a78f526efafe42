"""Every contender: its label, its commands, and what has to be said about how it is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
"""Made by `make bench-peers` from requirements/peers.txt."""

Kind = Literal["noop", "noop-batch", "wait", "late"]
Wire = Literal["avro", "json", "redis"]


@dataclass(frozen=True)
class Contender:
    """One way to do background work.

    Args:
        key: Its short name, in results.
        label: Its name for people.
        python: The interpreter of its virtual environment.
        distribution: The package whose version is shown.
        wire: What its events are and where they lie: Avro or JSON in Kafka, or Redis.
        imports: What an application writes to import it.
        publishing: Arguments of the interpreter that publish.
        working: Arguments of the interpreter that start a worker, by what handlers do.
        publish_count: Events of one round of publishing, some seconds' worth.
        drain_counts: Events of one round of handling, by what handlers do.
        notes: How it is run, for readers of the figures.
    """

    key: str
    label: str
    python: Path
    distribution: str
    wire: Wire
    imports: str
    publishing: Sequence[str]
    working: Mapping[Kind, Sequence[str]]
    publish_count: int
    drain_counts: Mapping[Kind, int]
    notes: str = ""
    more_publishing: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def version(self) -> str:
        """The release that is measured."""
        if self.python == Path(sys.executable):
            return version(self.distribution)
        code = f"from importlib.metadata import version; print(version({self.distribution!r}))"
        return subprocess.run([self.python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _module(name: str, *arguments: str) -> list[str]:
    return ["-m", f"bench.contenders.{name}", *arguments]


def _always(arguments: Sequence[str]) -> dict[Kind, Sequence[str]]:
    return {"noop": arguments, "wait": arguments, "late": arguments}


def _tidemill(stream: str) -> list[str]:
    return ["-m", "tidemill", "worker", f"bench.contenders.ours:{stream}"]


def _celery(pool: str, concurrency: int) -> list[str]:
    options = ["--loglevel", "warning", "--pool", pool, "--concurrency", str(concurrency)]
    return ["-m", "celery", "-A", "bench.contenders.celery_redis", "worker", *options]


_DRAMATIQ = ("bench.contenders.dramatiq_redis", "--processes", "2", "--threads")

HERE = Path(sys.executable)

TIDEMILL = Contender(
    key="tidemill",
    label="Tidemill",
    python=HERE,
    distribution="tidemill",
    wire="avro",
    imports="from tidemill import Publisher, stream",
    publishing=_module("ours", "publish"),
    more_publishing={"AsyncPublisher": _module("ours", "publish-async")},
    working={
        "noop": _tidemill("noop"),
        "noop-batch": _tidemill("noop_batch"),
        "wait": _tidemill("wait"),
        "late": _tidemill("late"),
    },
    publish_count=150_000,
    drain_counts={"noop": 400_000, "noop-batch": 400_000, "wait": 100_000},
    notes="`tidemill worker` with one process: Avro, the full envelope, order per key, commits of what is done. "
    "10 ms: `async def`, concurrency 500.",
)
BARE = Contender(
    key="bare",
    label="confluent-kafka + fastavro",
    python=HERE,
    distribution="confluent-kafka",
    wire="avro",
    imports="import confluent_kafka, fastavro",
    publishing=_module("bare", "publish"),
    working=_always(_module("bare", "work")),
    publish_count=150_000,
    drain_counts={"noop": 400_000, "wait": 100_000},
    notes="A loop by hand in one process: Avro without envelope, order, retries, commits. 10 ms: all that a poll "
    "brings at once, then the next poll.",
)
FAUST = Contender(
    key="faust",
    label="Faust",
    python=HERE,
    distribution="faust-streaming",
    wire="avro",
    imports="from faust import App",
    publishing=_module("plain_faust", "publish"),
    working=_always(_module("plain_faust", "work")),
    publish_count=10_000,
    drain_counts={"noop": 30_000, "wait": 20_000},
    notes="An agent on Faust's own consumer, one process, the same Avro. 10 ms: `concurrency=500`, which gives up the "
    "order of keys.",
)
CELERY = Contender(
    key="celery",
    label="Celery + Redis",
    python=PEERS_PYTHON,
    distribution="celery",
    wire="redis",
    imports="from celery import Celery",
    publishing=_module("celery_redis", "publish"),
    working={
        "noop": _celery("prefork", 2),
        "late": _celery("prefork", 2),
        "wait": _celery("gevent", 500),
    },
    publish_count=2_000,
    drain_counts={"noop": 2_500, "wait": 2_500},
    notes="Prefork with two processes and their parent, results off, `worker_prefetch_multiplier=64` for the no-op. "
    "10 ms: the gevent pool, 500 greenlets in one process.",
)
DRAMATIQ = Contender(
    key="dramatiq",
    label="dramatiq + Redis",
    python=PEERS_PYTHON,
    distribution="dramatiq",
    wire="redis",
    imports="import dramatiq; from dramatiq.brokers.redis import RedisBroker",
    publishing=_module("dramatiq_redis", "publish"),
    working={
        "noop": ["-m", "dramatiq", *_DRAMATIQ, "8"],
        "late": ["-m", "dramatiq", *_DRAMATIQ, "8"],
        "wait": [str(PEERS_PYTHON.with_name("dramatiq-gevent")), *_DRAMATIQ, "64"],
    },
    publish_count=5_000,
    drain_counts={"noop": 8_000, "wait": 8_000},
    notes="Two processes of 8 threads each, default middleware. 10 ms: `dramatiq-gevent`, 64 greenlets each (more were "
    "slower).",
)
FASTSTREAM = Contender(
    key="faststream",
    label="FastStream",
    python=PEERS_PYTHON,
    distribution="faststream",
    wire="json",
    imports="from faststream.confluent import KafkaBroker",
    publishing=_module("faststream_confluent", "publish"),
    working=_always(_module("faststream_confluent", "work")),
    publish_count=15_000,
    drain_counts={"noop": 12_000, "wait": 12_000},
    notes="The confluent broker, one process, JSON into a pydantic model, at most once as by default. 10 ms: "
    "`max_workers=500`.",
)
QUIXSTREAMS = Contender(
    key="quixstreams",
    label="quixstreams",
    python=PEERS_PYTHON,
    distribution="quixstreams",
    wire="json",
    imports="from quixstreams import Application",
    publishing=_module("quixstreams_json", "publish"),
    working=_always(_module("quixstreams_json", "work")),
    publish_count=150_000,
    drain_counts={"noop": 300_000, "wait": 400},
    notes="One process, JSON. Handles one event at a time, so 10 ms of waiting are 10 ms.",
)

ALWAYS = (BARE, TIDEMILL, FAUST)
PEERS = (CELERY, DRAMATIQ, FASTSTREAM, QUIXSTREAMS)
