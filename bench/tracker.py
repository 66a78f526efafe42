"""How fast the tracker folds topics into the table of jobs: `python -m bench.tracker [--jobs 50000]`. Needs Postgres'
programs."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from pydantic import SecretStr

from bench.sample import request
from consumers.status.tracker import Tracker
from tests.crash.storm.ground import ground, settings_for
from tests.integration.postgres import running_postgres
from tests.integration.working import prepare
from tidemill import Event, Publisher, Settings
from tidemill.event import ID, ROOT, Position
from tidemill.events import ImageProcessed, ImageRequested, Original, Rendition
from tidemill.jobs import Jobs

ROUNDS = 3
ORIGINAL = Original(sha256="0" * 64, bytes=1, width=1, height=1, format="png", mode="RGB")


def publish_jobs(settings: Settings, jobs: int) -> str:
    """Requests for images, and what came of each.

    Returns:
        One of their ids.
    """
    with Publisher(settings) as publisher:
        for number in range(jobs):
            asked = request(number, timed=False)
            payload = ImageRequested(
                source=asked["source"], renditions=[Rendition(**each) for each in asked["renditions"]]
            )
            event_id = publisher.publish(payload).id
            headers = [(ID, event_id.encode()), (ROOT, event_id.encode())]
            position = Position(settings.qualified("image.requested"), 0, number, int(time.time() * 1000))
            cause = Event(payload, key=None, headers=headers, position=position)
            done = ImageProcessed(source=payload.source, original=ORIGINAL, dominant_color="#000000", renditions=[])
            publisher.publish(done, cause=cause)
    return event_id


def fold_rate(settings: Settings, messages: int) -> float:
    """Messages that a tracker with an empty table folds in a second, its start left out."""
    ready = threading.Event()
    tracker = Tracker(settings, on_ready=ready.set)
    thread = threading.Thread(target=tracker.run)
    thread.start()
    ready.wait()
    began = time.monotonic()
    while tracker.folded < messages:
        time.sleep(0.01)
    took = time.monotonic() - began
    tracker.stop()
    thread.join()
    return messages / took


def main() -> None:
    """Fold the same topics three times into each database."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracker", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    jobs: int = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name, running_postgres(durable=True) as postgres:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="bench.", protocol="consumer")
            prepare(settings, ImageRequested, ImageProcessed)
            last = publish_jobs(settings, jobs)
            for database in ("SQLite", "Postgres"):
                rates = []
                for number in range(ROUNDS):
                    url = f"sqlite:///{folder}/{number}.db" if database == "SQLite" else postgres.new_database()
                    there = settings.model_copy(update={"status_url": SecretStr(url)})
                    rates.append(fold_rate(there, 2 * jobs))
                    with closing(Jobs(there)) as table:
                        status = table.status(last)
                    assert status is not None, "the tracker knows the job"
                    assert status.state == "done", status
                print(f"{database}: {statistics.median(rates):,.0f} events/s (median of {ROUNDS}, two events a job)")


if __name__ == "__main__":
    main()
