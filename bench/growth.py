"""How the no-op stream does as things grow: partitions, keys, size of an event, events that wait.

One worker process and topics of their own for every point. Memory is the most that the worker's processes took
meanwhile (proportional set size), so that a backlog that isn't held back shows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.contenders.catalogue import TIDEMILL
from bench.figures import Figure, median_of
from bench.ground import Course, Ground
from bench.programs import Program
from bench.replicate import Template, replicate, template

PARTITION_COUNTS = (12, 120, 1_200)
KEY_COUNTS = (10, 1_000, 100_000, 1_000_000)
# Bytes of a value, and events of a round: enough to take seconds, and not more than some hundred megabytes.
VALUE_SIZES = {100: 200_000, 1_000: 200_000, 10_000: 40_000, 100_000: 4_000, 980_000: 400}
BACKLOGS = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_BACKLOGS = (10_000, 50_000)
EVENTS = 200_000
KEYS = 5000
MOST_SECONDS = 600.0
LOOK_SECONDS = 0.1
MEGABYTE = 1e6


@dataclass(frozen=True)
class Point:
    """One point of a curve."""

    events_per_second: float
    most_megabytes: float


def run(ground: Ground) -> list[Figure]:
    """Measure the four curves, one after the other; each point once, but for the backlogs the smaller ones thrice."""
    figures: list[Figure] = []
    ordinary = template(ground.course("growth-template"))
    for partitions in PARTITION_COUNTS:
        course = ground.course(f"growth-p{partitions}", partitions)
        figures += _curve(ground, "partitions", partitions, course, ordinary, ground.few(EVENTS), KEYS)
    for keys in KEY_COUNTS:
        course = ground.course(f"growth-k{keys}")
        count = ground.few(max(EVENTS, keys))
        figures += _curve(ground, "keys", keys, course, ordinary, count, keys)
    for size, count in VALUE_SIZES.items():
        course = ground.course(f"growth-s{size}")
        figures += _curve(ground, "bytes per event", size, course, template(course, size), ground.few(count), KEYS)
    course, there = ground.course("growth-backlog"), 0
    for backlog in QUICK_BACKLOGS if ground.quick else BACKLOGS:
        replicate(course, ordinary, backlog - there, keys=KEYS)
        there = backlog
        figures += _points("backlog", backlog, [drained(ground, course, backlog, f"backlog-{backlog}")])
    return figures


def _curve(ground: Ground, name: str, at: int, course: Course, copy: Template, count: int, keys: int) -> list[Figure]:
    replicate(course, copy, count, keys=keys)
    slug = f"{name.partition(' ')[0]}-{at}"
    return _points(name, at, [drained(ground, course, count, f"{slug}-{number}") for number in ground.rounds])


def _points(name: str, at: int, points: Sequence[Point]) -> list[Figure]:
    rates, sizes = [each.events_per_second for each in points], [each.most_megabytes for each in points]
    return [
        median_of(f"growth with {name}", rates, "events/s", contender=TIDEMILL.key, at=at),
        median_of(f"growth with {name}, memory", sizes, "MB", contender=TIDEMILL.key, at=at),
    ]


def drained(ground: Ground, course: Course, count: int, group: str) -> Point:
    """Let a fresh worker handle a backlog.

    Args:
        ground: Where.
        course: Where its events are.
        count: How many there are.
        group: A fresh consumer group.
    """
    with ground.working(TIDEMILL, "noop", course, group) as program:
        begun = program.wait_until(lambda reading: reading.count > 0, MOST_SECONDS)
        most_bytes = _watch(program, count)
        seconds = time.monotonic() - (begun.first_at or 0.0)
    point = Point(count / seconds, most_bytes / MEGABYTE)
    ground.say(f"{group}: {point.events_per_second:,.0f} events/s, {point.most_megabytes:.0f} MB")
    return point


def _watch(program: Program, count: int) -> int:
    """Look at the memory until everything is handled; returns the most, in bytes."""
    most = 0
    deadline = time.monotonic() + MOST_SECONDS
    while (reading := program.reading()).count < count:
        program.require_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{reading.count} of {count} events were handled in {MOST_SECONDS:g} s.")
        most = max(most, program.pss_bytes())
        time.sleep(LOOK_SECONDS)
    return most
