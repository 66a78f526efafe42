"""How fast a relay empties an outbox on Postgres: `python -m bench.outbox [--rows 50000]`. Needs Postgres' programs."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from bench.sample import request
from producers.outbox.relay import Relay
from producers.outbox.settings import load_outbox_settings
from producers.outbox.topics import TOPICS
from tests.crash.storm.ground import ground, settings_for
from tests.integration.postgres import running_postgres
from tests.integration.working import prepare
from tidemill import outbox
from tidemill.events import ImageRequested, Rendition
from tidemill.topics import apply, house_topics

ROUNDS = 3


def _event(number: int) -> ImageRequested:
    asked = request(number, timed=False)
    return ImageRequested(source=asked["source"], renditions=[Rendition(**each) for each in asked["renditions"]])


def main() -> None:
    """Fill and empty it, three times."""
    parser = argparse.ArgumentParser(prog="python -m bench.outbox", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    rows: int = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name, running_postgres(durable=True) as postgres:
        folder = Path(name)
        with ground(folder, [], brokers=1) as stack:
            settings = settings_for(stack, folder, namespace="bench.", protocol="consumer")
            events = [_event(number) for number in range(1_000)]
            prepare(settings, type(events[0]))
            apply(settings, [], house=[*house_topics(), *TOPICS])
            url = postgres.new_database()
            dsn = url.replace("+psycopg", "")
            added, moved = [], []
            with psycopg.connect(dsn) as connection:
                connection.execute(outbox.ddl("postgresql"))
                for _ in range(ROUNDS):
                    began = time.monotonic()
                    for _ in range(rows // len(events)):
                        outbox.add_many(connection, events, settings=settings)
                        connection.commit()
                    added.append(rows / (time.monotonic() - began))
                    relay = Relay(settings, load_outbox_settings(url=url))
                    thread = threading.Thread(target=relay.run)
                    began = time.monotonic()
                    thread.start()
                    while relay.moved < rows:
                        time.sleep(0.02)
                    moved.append(rows / (time.monotonic() - began))
                    relay.stop()
                    thread.join()
    print(
        f"written by one connection, 1,000 a transaction: {statistics.median(added):,.0f} rows/s (median of {ROUNDS})"
    )
    print(
        f"moved by one relay, its start included:         {statistics.median(moved):,.0f} rows/s (median of {ROUNDS})"
    )


if __name__ == "__main__":
    main()
