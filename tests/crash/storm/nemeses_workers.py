"""Nemeses of workers: killed, told to stop, paused, fewer and more of them, replaced one after the other."""

from __future__ import annotations

import time
from random import Random

import psutil

from tests.crash.storm.crew import Place
from tests.crash.storm.field import Field
from tests.integration.working import wait_until

SESSION_SECONDS = 6.0
"""After so long a silence a worker loses its partitions (tidemill/local/kafka.py, tidemill/broker.py)."""
GO_ON_SECONDS = 20.0
BACK_SECONDS = 45.0
"""Another worker process is ready by then, or none will be: the supervisor waits longer the oftener it starts one."""


def kill(field: Field, luck: Random) -> str:
    """SIGKILL a worker process; its supervisor starts another."""
    place, worker = _draw(field, luck)
    ready = place.times_ready()
    field.is_struck(worker, "kill")
    worker.kill()
    _until_back(place, ready)
    _until_others_go_on(field, worker)
    return f"{place.name}, process {worker.pid}"


def term(field: Field, luck: Random) -> str:
    """SIGTERM a worker process, as a cluster manager does; its supervisor starts another."""
    place, worker = _draw(field, luck)
    ready = place.times_ready()
    field.is_struck(worker, "term")
    worker.terminate()
    _until_back(place, ready)
    _until_others_go_on(field, worker)
    return f"{place.name}, process {worker.pid}"


def pause(field: Field, luck: Random) -> str:
    """SIGSTOP a worker process past its session, or for a moment; then SIGCONT: it comes back as a zombie."""
    seconds = SESSION_SECONDS + luck.uniform(1.5, 4.0) if luck.random() < 0.75 else luck.uniform(0.5, 3.0)
    place, worker = _draw(field, luck)
    field.is_struck(worker, "pause")
    worker.suspend()
    try:
        time.sleep(seconds)
    finally:
        worker.resume()
    return f"{place.name}, process {worker.pid}, for {seconds:.1f} s"


def scale(field: Field, luck: Random) -> str:
    """One worker, then four, then one, then as many as before."""
    before = len(field.crew.places)
    for count in (1, 4, 1, before):
        field.scale(count)
        time.sleep(luck.uniform(0.5, 3.0))
    return f"{before} -> 1 -> 4 -> 1 -> {before} workers"


def roll(field: Field, luck: Random) -> str:
    """Replace all supervisors with their workers, one after the other, as a deployment does."""
    order = list(range(len(field.crew.places)))
    luck.shuffle(order)
    for number in order:
        worker = field.crew.places[number].worker()
        if worker is not None:
            field.is_struck(worker, "term")
        field.crew.replace(number)
        time.sleep(luck.uniform(0.0, 1.5))
    return "workers " + ", ".join(map(str, order))


def _draw(field: Field, luck: Random) -> tuple[Place, psutil.Process]:
    """One of the places, and its worker process once there is one."""
    place = luck.choice(field.crew.places)
    wait_until(lambda: place.worker() is not None, f"{place.name} has a worker process", BACK_SECONDS)
    worker = place.worker()
    assert worker is not None, f"the worker process of {place.name} has just ended"
    return place, worker


def _until_others_go_on(field: Field, worker: psutil.Process) -> None:
    """Wait until others have begun events of all its partitions: who is struck next would take the blame otherwise."""
    deadline = time.monotonic() + GO_ON_SECONDS
    while field.tally.partitions_of(worker.pid) and time.monotonic() < deadline:
        time.sleep(0.1)  # Whether it took too long is for the checker to say.


def _until_back(place: Place, ready: int) -> None:
    wait_until(lambda: place.times_ready() > ready, f"{place.name} has a worker process again", BACK_SECONDS)
