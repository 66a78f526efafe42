"""From starting a worker to its first event, while events wait; and the memory it takes once it has nothing to do."""

from __future__ import annotations

import sys
import time

from bench.contenders.catalogue import BARE, Contender
from bench.figures import Figure, median_of
from bench.ground import Course, Ground, fill, fill_json, program_variables
from bench.programs import Program, running

EVENTS = 100
START_SECONDS = 60.0
SETTLED_SHARE = 0.01
SETTLE_SECONDS = 10.0
MEGABYTE = 1e6


def run(ground: Ground) -> list[Figure]:
    """Measure all contenders in turn, and `tidemill worker image`, which is what was promised to be small."""
    course = ground.course("start")
    fill(course, EVENTS)
    fill_json(course, EVENTS)
    starts: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    processes: dict[str, int] = {}
    images = []
    # The first group of a cluster waits for the topic of the offsets; nobody is to pay for that.
    _round(ground, BARE, course, -1)
    for number in ground.rounds:
        for contender in ground.contenders:
            start_seconds, megabytes, count = _round(ground, contender, course, number)
            starts.setdefault(contender.key, []).append(start_seconds)
            sizes.setdefault(contender.key, []).append(megabytes)
            processes[contender.key] = count
            ground.say(f"{contender.key}: {start_seconds:.2f} s, {megabytes:.0f} MB")
        images.append(_image_worker(ground))
    figures = []
    for contender in ground.contenders:
        note = f"{processes[contender.key]} processes" if processes[contender.key] > 1 else "1 process"
        figures += [
            median_of("start to first event", starts[contender.key], "s", contender=contender.key),
            median_of("memory, idle", sizes[contender.key], "MB", contender=contender.key, note=note),
        ]
    name = "memory of an idle `tidemill worker image`"
    return [*figures, median_of(name, images, "MB", contender="tidemill", most=100)]


def _round(ground: Ground, contender: Contender, course: Course, number: int) -> tuple[float, float, int]:
    """Seconds to the first event, megabytes, processes."""
    if contender.wire == "redis":
        ground.empty_redis()
        ground.publish(contender, course, EVENTS)
    with ground.working(contender, "noop", course, f"start-{contender.key}-{number}") as program:
        begun = program.wait_until(lambda reading: reading.count > 0, START_SECONDS)
        program.wait_until(lambda reading: reading.count >= EVENTS, START_SECONDS)
        return (begun.first_at or 0.0) - program.started_at, settled(program) / MEGABYTE, len(program.tree())


def settled(program: Program) -> float:
    """The memory of a program's processes once it hardly changes any more, in bytes."""
    deadline = time.monotonic() + SETTLE_SECONDS
    last = program.pss_bytes()
    while True:
        time.sleep(1.0)
        now = program.pss_bytes()
        if abs(now - last) <= SETTLED_SHARE * last or time.monotonic() > deadline:
            return now
        last = now


def _image_worker(ground: Ground) -> float:
    command = [sys.executable, "-m", "tidemill", "worker", "image"]
    with running(command, program_variables(ground.settings)) as program:
        deadline = time.monotonic() + START_SECONDS
        while '"ready"' not in program.output():
            if time.monotonic() > deadline:
                raise RuntimeError(f"`tidemill worker image` isn't ready:\n{program.output()[-2000:]}")
            time.sleep(0.05)
        return settled(program) / MEGABYTE
