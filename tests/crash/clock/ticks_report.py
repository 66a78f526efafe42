"""From what a ticks' storm has left to its findings: held or broken, and the figures beside them. Computes only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.crash.clock.ticks_checker import judge
from tests.crash.clock.ticks_course import Record
from tests.crash.clock.ticks_outages import (
    Gap,
    GoneOn,
    Strike,
    emitted_when_fenced,
    gone_on,
    lateness_ms,
    longest_gap,
    longest_gaps,
    percentile,
)
from tests.crash.storm.promises import Promise, as_dicts

GO_ON_SECONDS = 10.0
"""A lost instance's jobs go on by then."""
GO_ON_WITHOUT_BROKER_SECONDS = 25.0
"""The same where a broker of three is lost at the same time: sessions of both have to end, one after the other."""
EXAMPLES = 20


def report(record: Record, about: Mapping[str, Any], *, patience: float = 1.0) -> tuple[dict[str, Any], list[Promise]]:
    """The findings of a storm.

    Args:
        record: What it has left.
        about: What the report says besides: seed, seconds, machine and so on.
        patience: What limits of time are multiplied with.
    """
    seen, ticks = record.seen, record.seen.ticks
    verdict = judge(seen, record.jobs, record.applied_at)
    strikes = sorted(record.strikes, key=lambda strike: strike.start_seconds)
    brokers = [strike for strike in strikes if strike.how == "kill-broker"]
    followed = [
        each for strike in strikes if strike.how != "kill-broker" for each in gone_on(ticks, record.owned, strike)
    ]
    troubled = [each for each in followed if any(_overlap(each.strike, broker) for broker in brokers)]
    usual = [each for each in followed if each not in troubled]
    pauses = [strike for strike in strikes if strike.how == "pause"]
    silent = [strike for strike in pauses if not record.admissions.get(strike.start_seconds)]
    zombies = [tick for strike in pauses for tick in emitted_when_fenced(ticks, record.owned, strike)]
    promises = [
        *(Promise(name.replace("_", " "), 0, len(faults), not faults) for name, faults in vars(verdict).items()),
        Promise("emitted by a woken instance", 0, len(zombies), not zombies),
        Promise("woken instances that didn't say so", 0, len(silent), not silent),
        Promise("schedulers that ended otherwise", 0, len(record.fallen), not record.fallen),
        Promise("jobs up to date in the end", 0, int(bool(record.behind)), not record.behind),
        _in_time("jobs go on, seconds", usual, GO_ON_SECONDS * patience),
        _in_time("jobs go on, a broker lost, seconds", troubled, GO_ON_WITHOUT_BROKER_SECONDS * patience),
    ]
    late = lateness_ms(ticks)
    calm = lateness_ms(
        tick
        for tick in ticks
        if tick.scheduled_at > record.start_seconds and not _is_struck(tick.scheduled_at, strikes)
    )
    found = {
        **about,
        "figures": {
            "ticks": len(ticks),
            "emits": len(seen.emits),
            "jobs": len(record.jobs),
            "seconds_of_ticks": len({tick.scheduled_at for tick in ticks}),
            "strikes": dict(Counter(strike.how for strike in strikes)),
            "longest_gap": _gap(longest_gap(ticks), record, strikes),
            "longest_gap_by_partition": {
                str(books): _gap(gap, record, strikes) for books, gap in longest_gaps(ticks).items()
            },
            "lateness_ms": _percentiles(late),
            "lateness_ms_in_calm": _percentiles(calm),
            "go_on_seconds": {how: _spread([each for each in usual if each.strike.how == how]) for how in _hows(usual)},
            "go_on_seconds_broker_lost": _spread(troubled),
        },
        "strikes": [_strike(strike, record, followed) for strike in strikes],
        "faults": {name: faults[:EXAMPLES] for name, faults in vars(verdict).items() if faults}
        | {"zombies": [tick.id for tick in zombies[:EXAMPLES]], "fallen": record.fallen, "behind": record.behind},
        "promises": as_dicts(promises),
    }
    return found, promises


def summary(found: Mapping[str, Any], promises: Sequence[Promise]) -> str:
    """A line for each finding, and the figures, for people."""
    width = max(len(promise.name) for promise in promises)
    words = {True: "held", False: "BROKEN", None: "nothing to say"}
    lines = [
        f"  {promise.name:<{width}}  {'never' if promise.found is None else f'{promise.found:g}':>7}  "
        f"at most {promise.limit:<4g}  {words[promise.held]}"
        for promise in promises
    ]
    figures = found["figures"]
    gap, late, calm = figures["longest_gap"], figures["lateness_ms"], figures["lateness_ms_in_calm"]
    worst = max(figures["longest_gap_by_partition"].values(), key=lambda each: each["seconds"], default=gap)
    lines += [
        f"{figures['ticks']:,} ticks of {figures['jobs']} jobs in {figures['seconds_of_ticks']} seconds, "
        f"{figures['emits']:,} events; strikes: {figures['strikes']}.",
        f"Longest gap of all ticks {gap['seconds']} s ({gap['during']}), of a partition {worst['seconds']} s "
        f"({worst['during']}).",
        f"Late, in ms: p50 {late['p50']}, p99 {late['p99']}, most {late['most']}; "
        f"in calm p50 {calm['p50']}, p99 {calm['p99']}, most {calm['most']}.",
    ]
    lines += [f"Jobs go on after {how}: {spread}." for how, spread in figures["go_on_seconds"].items()]
    return "\n".join(lines) + "\n"


def _overlap(one: Strike, other: Strike) -> bool:
    return one.start_seconds < other.end_seconds + GO_ON_SECONDS and other.start_seconds < one.end_seconds


def _is_struck(moment: float, strikes: Sequence[Strike]) -> bool:
    return any(strike.start_seconds - 1 <= moment <= strike.end_seconds + GO_ON_SECONDS for strike in strikes)


def _in_time(name: str, followed: Sequence[GoneOn], limit: float) -> Promise:
    if not followed:
        return Promise(name, limit, 0.0, None)
    if any(each.seconds is None for each in followed):
        return Promise(name, limit, None, False)
    most = max(each.seconds for each in followed if each.seconds is not None)
    return Promise(name, limit, round(most, 2), most <= limit)


def _hows(followed: Sequence[GoneOn]) -> list[str]:
    return sorted({each.strike.how for each in followed})


def _spread(followed: Sequence[GoneOn]) -> dict[str, float | None]:
    """Middle and greatest of the whole, and the middle of its parts."""
    seconds = [each.seconds for each in followed if each.seconds is not None]
    noticed = [each.noticed_seconds for each in followed if each.noticed_seconds is not None]
    taken = [each.taken_over_seconds for each in followed if each.taken_over_seconds is not None]
    return {
        "median": _round(seconds, median),
        "most": _round(seconds, max),
        "of_it_until_given": _round(noticed, median),
        "of_it_take_over": _round(taken, median),
    }


def _round(values: Sequence[float], pick: Any) -> float | None:
    return round(pick(values), 2) if values else None


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
    return {name: round(percentile(values, share)) for name, share in shares.items()}


def _gap(gap: Gap, record: Record, strikes: Sequence[Strike]) -> dict[str, Any]:
    during = [
        f"{strike.how} {strike.victim}"
        for strike in strikes
        if strike.start_seconds <= gap.end_seconds and gap.start_seconds <= strike.end_seconds + 1
    ]
    return {
        "seconds": round(gap.seconds, 2),
        "t": round(gap.start_seconds - record.start_seconds, 1),
        "during": ", ".join(during) or "nothing",
    }


def _strike(strike: Strike, record: Record, followed: Sequence[GoneOn]) -> dict[str, Any]:
    own = [each for each in followed if each.strike == strike]
    told: dict[str, Any] = {
        "t": round(strike.start_seconds - record.start_seconds, 1),
        "until": round(strike.end_seconds - record.start_seconds, 1),
        "how": strike.how,
        "victim": strike.victim,
        "partitions": len(own),
        "go_on_seconds": [None if each.seconds is None else round(each.seconds, 2) for each in own],
        "given_seconds": [None if each.noticed_seconds is None else round(each.noticed_seconds, 2) for each in own],
        "take_over_seconds": [
            None if each.taken_over_seconds is None else round(each.taken_over_seconds, 2) for each in own
        ],
    }
    if strike.how == "pause":
        told["said"] = dict(Counter(record.admissions.get(strike.start_seconds, [])))
    return told
