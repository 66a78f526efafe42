"""From publishing to the start of the handler, at steady rates.

Each contender's own publisher, in a process of its own, sends at the rate whatever happens (an open loop: what waits in
line counts), and the handler compares the clock with the time in the event. Who can't publish or handle so many is said
to, instead of a number that would only tell how long the test was.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.contenders.catalogue import BARE, Contender
from bench.figures import Figure, median_of, not_reached
from bench.ground import Ground
from bench.meter import read_delays
from bench.programs import Program, TooSlow

RATES = {200: 15.0, 2000: 30.0}
"""Events per second, and what our 99th percentile should stay under, in ms."""
FIRST_RATE = 100
FIRST_COUNT = 100
"""Events until which a worker has started."""
WARM_UP_SECONDS = 1
"""For connections and code; not counted."""
SECONDS = 5
SLACK = 0.95
"""Of the rate has to be reached."""
CATCH_UP_SECONDS = 1.0
START_SECONDS = 60.0


@dataclass(frozen=True)
class Delays:
    """One round at one rate: milliseconds from publishing to handling, sorted, or why there are none."""

    milliseconds: list[float]
    reason: str = ""

    def __str__(self) -> str:
        return self.reason or f"p50 {self.p50:.2f} ms, p99 {self.p99:.2f} ms"

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        """What 99 of 100 stay under."""
        return self.milliseconds[int(len(self.milliseconds) * 0.99)]


def run(ground: Ground) -> list[Figure]:
    """Measure all contenders in turn, both rates with one worker each."""
    found: dict[tuple[str, int], list[Delays]] = {}
    # A broker that has just started compiles its code meanwhile, which is 10 times slower; nobody is to pay for that.
    _round(ground, BARE, -1)
    for number in ground.rounds:
        for contender in ground.contenders:
            for rate, delays in _round(ground, contender, number).items():
                found.setdefault((contender.key, rate), []).append(delays)
    figures = []
    for (key, rate), rounds in found.items():
        fine = [each for each in rounds if not each.reason]
        for share in ("p50", "p99"):
            name = f"latency at {rate}/s, {share}"
            if len(fine) <= len(rounds) // 2:
                reason = next(each.reason for each in rounds if each.reason)
                figures.append(not_reached(name, "ms", contender=key, note=reason))
                continue
            most = RATES[rate] if (key, share) == ("tidemill", "p99") else None
            figures.append(median_of(name, [getattr(each, share) for each in fine], "ms", contender=key, most=most))
    return figures


def _round(ground: Ground, contender: Contender, number: int) -> dict[int, Delays]:
    ground.empty_redis()
    seconds = 2 if ground.quick else SECONDS
    course = ground.course(f"latency-{contender.key}-{number + 1}")
    room = FIRST_COUNT + sum(rate * (WARM_UP_SECONDS + seconds) for rate in RATES)
    found = {}
    with ground.working(contender, "late", course, f"late-{contender.key}-{number + 1}", count=room) as program:
        ground.publish(contender, course, FIRST_COUNT, rate=FIRST_RATE)
        program.wait_until(lambda reading: reading.count >= FIRST_COUNT, START_SECONDS)
        before = FIRST_COUNT
        for rate in RATES:
            warm_up = rate * WARM_UP_SECONDS
            count = warm_up + rate * seconds
            earlier = program.reading().counts
            took = ground.publish(contender, course, count - warm_up, rate=rate, kind="late", warm_up=warm_up)
            if count / took < SLACK * rate:
                found[rate] = Delays([], f"publishes {count / took:,.0f}/s")
            elif not _arrived(program, before + count):
                found[rate] = Delays([], f"handles {(program.reading().count - before) / took:,.0f}/s")
            else:
                found[rate] = Delays(sorted(delay * 1000 for delay in read_delays(program.folder, after=earlier)))
            before += count
            ground.say(f"{contender.key} at {rate}/s: {found[rate]}")
    return found


def _arrived(program: Program, count: int) -> bool:
    """Whether all have been handled soon after they were published."""
    try:
        program.wait_until(lambda reading: reading.count >= count, CATCH_UP_SECONDS)
    except TooSlow:
        return False
    return True
