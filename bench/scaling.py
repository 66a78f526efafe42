"""From one worker process to two, with handlers that compute for about 1 ms.

Each worker process is pinned to a processor of its own. With one of them, the broker has another processor to itself;
with two on a machine of two, it shares both, so the second process has to be worth a little less than the first. Beside
it, the same work in processes without any stream, since two virtual processors needn't be worth two.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psutil

from bench.contenders.catalogue import TIDEMILL
from bench.figures import Figure, median_of, ratios
from bench.ground import Course, Ground
from bench.programs import Program, running
from bench.replicate import replicate, template

TITLE = "1 ms of computing"
EVENTS = 60_000
KEYS = 5000
SETTLE_SECONDS = 2.0
WINDOW_SECONDS = 4.0
START_SECONDS = 60.0
LEAST = 1.8


def run(ground: Ground) -> list[Figure]:
    """Measure one and two, with the stream and without, in turn."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise RuntimeError("This machine has one processor; scaling needs two.")
    course = ground.course("scaling")
    replicate(course, template(course), EVENTS, keys=KEYS)
    rates: dict[tuple[str, int], list[float]] = {}
    for number in ground.rounds:
        for count in (1, 2):
            rates.setdefault(("bare", count), []).append(_compute(ground, processors[:count]))
            free = processors[count:] or processors
            with _pinned(ground.broker_pids, free, processors):
                rates.setdefault(("tidemill", count), []).append(_work(ground, course, processors[:count], number))
            bare, ours = rates["bare", count][-1], rates["tidemill", count][-1]
            ground.say(f"{count} of 2: {bare:,.0f} events/s without a stream, {ours:,.0f} with one")
    figures = [
        median_of(f"{TITLE}, {count} process{'es' if count > 1 else ''}", found, "events/s", contender=key)
        for (key, count), found in rates.items()
    ]
    for key, least in (("bare", None), ("tidemill", LEAST)):
        share = ratios(rates[key, 2], rates[key, 1])
        figures.append(median_of(f"{TITLE}, 2 processes beside 1", share, "x", contender=key, least=least))
    return figures


def _work(ground: Ground, course: Course, processors: Sequence[int], number: int) -> float:
    group = f"scaling-{len(processors)}-{number}"
    variables = ground.variables(TIDEMILL, course, BENCH_GROUP=group)
    command = [sys.executable, "-m", "tidemill", "worker", "bench.contenders.ours:busy"]
    return _rate([(command, variables, processor) for processor in processors])


def _compute(ground: Ground, processors: Sequence[int]) -> float:
    variables = ground.variables(TIDEMILL, ground.nowhere)
    command = [sys.executable, "-m", "bench.contenders.ours", "compute"]
    return _rate([(command, variables, processor) for processor in processors])


def _rate(commands: Sequence[tuple[list[str], dict[str, str], int]]) -> float:
    """Events per second of several programs together, once all of them are at work."""
    with ExitStack() as stack:
        programs = [
            stack.enter_context(running(command, variables, before=_pin_to(processor)))
            for command, variables, processor in commands
        ]
        for program in programs:
            program.wait_until(lambda reading: reading.count > 0, START_SECONDS)
        # Until the group has come to rest, and everybody's partitions are what they stay.
        time.sleep(SETTLE_SECONDS)
        return _window(programs)


def _window(programs: Sequence[Program]) -> float:
    began, before = time.monotonic(), sum(program.reading().count for program in programs)
    time.sleep(WINDOW_SECONDS)
    ended, after = time.monotonic(), sum(program.reading().count for program in programs)
    return (after - before) / (ended - began)


def _pin_to(processor: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {processor})


@contextmanager
def _pinned(pids: Sequence[int], processors: Sequence[int], afterwards: Sequence[int]) -> Iterator[None]:
    """Keep programs to some processors for the time of the block."""
    _pin_threads(pids, processors)
    try:
        yield
    finally:
        _pin_threads(pids, afterwards)


def _pin_threads(pids: Sequence[int], processors: Sequence[int]) -> None:
    for pid in pids:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            for thread in process.threads():
                try:
                    os.sched_setaffinity(thread.id, processors)
                except ProcessLookupError:
                    continue  # A thread of a pool that has just ended.
