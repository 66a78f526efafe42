"""The promises (docs/reliability.md), each with its limit and what a storm has found. Computes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from tests.crash.storm.acts import Act
from tests.crash.storm.aftermath import Aftermath
from tests.crash.storm.checker import Verdict
from tests.crash.storm.stalls import Stall

GO_ON_SECONDS = 10.0
HEAL_SECONDS = 10.0
SLOPE_MB_PER_MINUTE = 0.5


@dataclass(frozen=True)
class Promise:
    """One promise.

    Args:
        name: What is promised.
        limit: As a number, in the unit that the name says.
        found: What there was at worst; None where it never came to an end.
        held: Whether it was kept; None where the storm was too short to say.
    """

    name: str
    limit: float
    found: float | None
    held: bool | None


@dataclass(frozen=True)
class Outcome:
    """What the promises are held against.

    Args:
        verdict: What the checker says.
        stalls: All of them.
        aftermaths: Of all worker processes that were struck.
        acts: All of them.
        heal_seconds: From the last act's end until nothing waited any more; None where something waited to the end.
        fallen: What is wrong with supervisors.
        slope_mb_per_minute: How much a worker grows; None where the storm was too short to say.
        patience: What all limits of time are multiplied with: more than 1 where the machine has other things to do.
    """

    verdict: Verdict
    stalls: Sequence[Stall]
    aftermaths: Sequence[Aftermath]
    acts: Sequence[Act]
    heal_seconds: float | None
    fallen: Sequence[str]
    slope_mb_per_minute: float | None
    patience: float = 1.0


def promises(outcome: Outcome) -> list[Promise]:
    """Each promise and whether it was kept."""
    verdict, patience = outcome.verdict, outcome.patience
    judged = [
        _at_most("events lost", 0, len(verdict.lost)),
        _at_most("events made up", 0, len(verdict.phantom)),
        _at_most("outputs with two faces", 0, len(verdict.doubled_outputs)),
        _at_most("events of a key finished out of order", 0, len(verdict.inversions_first)),
        _at_most("outputs of a key first seen out of order", 0, len(verdict.inversions_outputs)),
        _at_most("dead letters missing", 0, len(verdict.dead_letters_missing)),
        _at_most("dead letters that nobody asked for", 0, len(verdict.dead_letters_unexpected)),
        _at_most(
            "seconds until a killed worker's events go on", GO_ON_SECONDS * patience, _longest_go_on(outcome.aftermaths)
        ),
    ]
    for limit in sorted({stall.most_seconds for stall in outcome.stalls if stall.most_seconds} | {5.0, 15.0}):
        longest = max((stall.seconds for stall in outcome.stalls if stall.most_seconds == limit), default=0.0)
        judged.append(_at_most(f"seconds of stall under {_WHOSE.get(limit, 'other acts')}", limit * patience, longest))
    judged += [
        _at_most("seconds from healing to zero lag", HEAL_SECONDS * patience, outcome.heal_seconds),
        _at_most("workers that need a restart by hand", 0, len(outcome.fallen)),
        _at_most("acts that did not heal", 0, sum(1 for act in outcome.acts if act.error)),
    ]
    slope = outcome.slope_mb_per_minute
    grows = _at_most(
        "MB that a worker grows per minute", SLOPE_MB_PER_MINUTE, None if slope is None else max(0.0, slope)
    )
    return [*judged, grows if slope is not None else replace(grows, held=None)]


_WHOSE = {5.0: "acts on workers", 15.0: "the loss of one broker"}


def broken(judged: Sequence[Promise]) -> list[str]:
    """A sentence for each promise that wasn't kept."""
    return [
        f"{promise.name}: {'never' if promise.found is None else f'{promise.found:g}'}, at most {promise.limit:g}"
        for promise in judged
        if promise.held is False
    ]


def as_dicts(judged: Sequence[Promise]) -> list[dict[str, object]]:
    """For the report."""
    return [asdict(promise) for promise in judged]


def _longest_go_on(aftermaths: Sequence[Aftermath]) -> float | None:
    spans = [each.go_on_seconds or 0.0 for each in aftermaths if each.victim.how == "kill"]
    longest = max(spans, default=0.0)
    return None if longest == float("inf") else longest


def _at_most(name: str, limit: float, found: float | None) -> Promise:
    return Promise(name, limit, None if found is None else round(found, 3), found is not None and found <= limit)
