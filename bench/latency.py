"""From publish() to the start of the handler, at a steady rate; and the memory of a worker that has nothing to do."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.figures import Figure, median_of
from bench.programs import environment, running, wait_for_report, worker
from tidemill.config import Settings
from tidemill.events import ImageRequested, Rendition
from tidemill.publisher import Publisher

RATE = 200
IDLE_SECONDS = 8.0


def run(settings: Settings, quick: bool) -> list[Figure]:
    """Measure the memory of `tidemill worker image` without work, then latency at 200 events/s."""
    whole, process_alone = _idle_memory(settings)
    seconds = 5 if quick else 30
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        warm_up = RATE * 2
        variables = environment(settings, BENCH_COUNT=str(RATE * seconds + warm_up), BENCH_REPORT=str(report))
        with running(worker("bench.streams:late"), variables) as process:
            time.sleep(4)
            _publish(settings, RATE * seconds + warm_up)
            delays = sorted(delay * 1000 for delay in wait_for_report(report, process, 60)["delays"][warm_up:])
    p50, p99 = statistics.median(delays), delays[int(len(delays) * 0.99)]
    return [
        median_of(f"publish to handler start at {RATE}/s, p50", [p50], "ms", most=10),
        median_of(f"publish to handler start at {RATE}/s, p99", [p99], "ms", most=50),
        median_of("idle `tidemill worker image`, supervisor included (PSS)", [whole], "MB", most=150),
        median_of("idle worker process alone (PSS)", [process_alone], "MB"),
    ]


def _publish(settings: Settings, count: int) -> None:
    thumb = [Rendition(name="thumb", width=200)]
    # A service that wants low latency doesn't linger.
    with Publisher(settings.model_copy(update={"linger_ms": 0})) as publisher:
        began = time.perf_counter()
        for number in range(count):
            wait = began + number / RATE - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            publisher.publish(
                ImageRequested(source=f"s3://shop-uploads/{number}.jpg", renditions=thumb),
                headers={"sent": repr(time.time())},
            )


def _idle_memory(settings: Settings) -> tuple[float, float]:
    with running([sys.executable, "-m", "tidemill", "worker", "image"], environment(settings)) as process:
        time.sleep(IDLE_SECONDS)
        root = psutil.Process(process.pid)
        children = root.children(recursive=True)
        sizes = [each.memory_full_info().pss / 1e6 for each in (root, *children)]
        return sum(sizes), max(sizes)
