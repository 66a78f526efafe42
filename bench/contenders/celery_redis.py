# mypy: disable-error-code="import-not-found"
"""Celery on Redis: a task, and a program that calls it. Its worker is `celery -A bench.contenders.celery_redis worker`.

No results are kept and many tasks are fetched ahead, as Celery's guide recommends for short ones (Optimizing, Prefetch
Limits). Early acknowledgement is its default, and so what is measured.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from bench.meter import Meter
from bench.pace import KIND, WAIT_SECONDS, numbers, report, timed
from bench.sample import request

METER = Meter()

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64 if KIND == "noop" else 4,
    broker_connection_retry_on_startup=True,
)


def handle(source: str, renditions: list[dict[str, Any]], sent: float | None = None) -> None:
    """What the measurement wants: nothing, 10 ms of waiting, or the delay."""
    if sent is not None:
        METER.late(sent)
        return
    if KIND == "wait":
        time.sleep(WAIT_SECONDS)
    METER.tick()


task = app.task(name="handle")(handle)


def main() -> None:
    """Publish; a call returns when Redis has the task."""
    # As with every contender, connecting isn't measured.
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        connection.ensure_connection()
        began = time.perf_counter()
        for number in numbers():
            task.apply_async(kwargs=request(number, timed=timed(number)), producer=producer)
        report(time.perf_counter() - began)


if __name__ == "__main__":
    main()
