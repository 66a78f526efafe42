# mypy: disable-error-code="import-not-found"
"""quixstreams: a dataframe over a topic of JSON, one event at a time per process, and a program that produces."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from quixstreams import Application

from bench.meter import Meter
from bench.pace import KIND, RATE, WAIT_SECONDS, numbers, report, timed
from bench.sample import request

METER = Meter()


def application() -> Application:
    """The application, with everything at its default but the group and where it begins."""
    return Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ.get("BENCH_GROUP", "bench"),
        auto_offset_reset="earliest",
        loglevel="WARNING",
        state_dir=os.environ["BENCH_FOLDER"],
        producer_extra_config={"linger.ms": 0} if RATE else None,
    )


def handle(event: dict[str, Any]) -> None:
    """What the measurement wants: nothing, 10 ms of waiting, or the delay."""
    sent = event.get("sent")
    if sent is not None:
        METER.late(sent)
        return
    if KIND == "wait":
        time.sleep(WAIT_SECONDS)
    METER.tick()


def work() -> None:
    """Consume until killed."""
    app = application()
    topic = app.topic(os.environ["BENCH_TOPIC"], value_deserializer="json")
    app.dataframe(topic).update(handle)
    app.run()


def publish() -> None:
    """Publish; through when Kafka has acknowledged all."""
    app = application()
    topic = app.topic(os.environ["BENCH_TOPIC"], value_serializer="json")
    with app.get_producer() as producer:
        producer.flush()
        began = time.perf_counter()
        for number in numbers():
            event = request(number, timed=timed(number))
            message = topic.serialize(key=event["source"], value=event)
            producer.produce(topic.name, message.value, message.key)
        producer.flush()
        report(time.perf_counter() - began)


if __name__ == "__main__":
    {"work": work, "publish": publish}[sys.argv[1]]()
