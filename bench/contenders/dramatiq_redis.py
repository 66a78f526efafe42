# mypy: disable-error-code="import-not-found"
"""dramatiq on Redis: an actor, and a program that sends to it.

Its worker is `dramatiq bench.contenders.dramatiq_redis`, with its default middleware and threads; for handlers that
wait, `dramatiq-gevent` with many, as its guide recommends.
"""

from __future__ import annotations

import os
import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.meter import ThreadedMeter
from bench.pace import KIND, WAIT_SECONDS, numbers, report, timed
from bench.sample import request

METER = ThreadedMeter()

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


def handle(source: str, renditions: list[dict[str, Any]], sent: float | None = None) -> None:
    """What the measurement wants: nothing, 10 ms of waiting, or the delay."""
    if sent is not None:
        METER.late(sent)
        return
    if KIND == "wait":
        time.sleep(WAIT_SECONDS)
    METER.tick()


actor = dramatiq.actor(handle)


def main() -> None:
    """Publish; a call returns when Redis has the message."""
    dramatiq.get_broker().client.ping()
    began = time.perf_counter()
    for number in numbers():
        actor.send(**request(number, timed=timed(number)))
    report(time.perf_counter() - began)


if __name__ == "__main__":
    main()
