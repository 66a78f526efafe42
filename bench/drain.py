"""Draining a backlog: handlers that do nothing, and handlers that wait for 10 ms; and what an event costs in CPU time.

From the first event handled to the last, all contenders in turn, round by round. CPU time is that of the worker's
processes, user and system, over the same events.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.contenders.catalogue import Contender, Kind
from bench.figures import Figure, median_of, ratios
from bench.ground import Course, Ground, fill, fill_json
from bench.programs import Program

MOST_SECONDS = 120.0


@dataclass(frozen=True)
class Drained:
    """One backlog handled."""

    events_per_second: float
    cpu_microseconds: float
    """Of the worker's processes, per event."""


def drain(program: Program, count: int) -> Drained:
    """Watch a worker until it has handled so many events.

    Args:
        program: The worker, just started.
        count: Events that are there for it.
    """
    begun = program.wait_until(lambda reading: reading.count > 0, MOST_SECONDS)
    cpu_seconds = program.cpu_seconds()
    first_at = begun.first_at or 0.0
    program.wait_until(lambda reading: reading.count >= count, MOST_SECONDS)
    seconds = time.monotonic() - first_at
    cpu_seconds = program.cpu_seconds() - cpu_seconds
    return Drained(count / seconds, cpu_seconds / max(1, count - begun.count) * 1e6)


def run(ground: Ground) -> list[Figure]:
    """Measure both kinds of handler."""
    counts = {"avro": 0, "json": 0}
    for contender in ground.contenders:
        if contender.wire in counts:
            counts[contender.wire] = max(counts[contender.wire], *map(ground.few, contender.drain_counts.values()))
    course = ground.course("drain")
    fill(course, counts["avro"])
    fill_json(course, counts["json"])
    found: dict[tuple[str, Kind], list[Drained]] = {}
    for number in ground.rounds:
        kinds: tuple[Kind, ...] = ("noop", "noop-batch", "wait")
        for kind in kinds:
            for contender in ground.contenders:
                if kind in contender.drain_counts:
                    group = f"{contender.key}-{kind}-{number}"
                    found.setdefault((contender.key, kind), []).append(_round(ground, contender, kind, course, group))
    return _figures(ground, found)


def _round(ground: Ground, contender: Contender, kind: Kind, course: Course, group: str) -> Drained:
    count = ground.few(contender.drain_counts[kind])
    if contender.wire == "redis":
        ground.empty_redis()
        ground.publish(contender, course, count, kind=kind)
    with ground.working(contender, kind, course, group) as program:
        drained = drain(program, count)
    ground.say(f"{group}: {drained.events_per_second:,.0f} events/s, {drained.cpu_microseconds:,.1f} µs of CPU each")
    return drained


def _figures(ground: Ground, found: dict[tuple[str, Kind], list[Drained]]) -> list[Figure]:
    figures = []
    titles: dict[Kind, str] = {"noop": "no-op", "noop-batch": "no-op in batches", "wait": "10 ms of waiting"}
    rates = {key: [each.events_per_second for each in rounds] for key, rounds in found.items()}
    for kind, title in titles.items():
        for contender in ground.contenders:
            key = (contender.key, kind)
            if key not in found:
                continue
            least = 20_000 if key == ("tidemill", "wait") else None
            cpu = [each.cpu_microseconds for each in found[key]]
            figures += [
                median_of(title, rates[key], "events/s", contender=contender.key, least=least),
                median_of(f"{title}, CPU per event", cpu, "µs", contender=contender.key),
            ]
    bare = rates["bare", "noop"]
    for kind, least_share in (("noop", 0.65), ("noop-batch", 0.85)):
        share = ratios(rates["tidemill", kind], bare)
        figures.append(
            median_of(f"{titles[kind]}, beside the bare loop", share, "x", contender="tidemill", least=least_share)
        )
    return figures
