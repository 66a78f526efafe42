"""From what a storm has left to its report: a plain dictionary that becomes report.json and the page. Computes only.

Times in the report are seconds since the storm's begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.crash.storm.aftermath import Aftermath, aftermaths
from tests.crash.storm.checker import Verdict, judge
from tests.crash.storm.course import Record
from tests.crash.storm.memory import medians_mb, slope_mb_per_minute
from tests.crash.storm.promises import Outcome, Promise, as_dicts, promises
from tests.crash.storm.stalls import Stall, stalls

EXAMPLES = 20
"""So many of the ids of each fault are in the report."""


def report(record: Record, about: Mapping[str, Any], *, patience: float = 1.0) -> tuple[dict[str, Any], list[Promise]]:
    """The report of a storm, and the promises in it.

    Args:
        record: What it has left.
        about: What the report says besides: seed, seconds, protocol, machine and so on.
        patience: What all limits of time are multiplied with.
    """
    until_healed = [sample for sample in record.samples if sample.time_seconds <= record.healed_seconds]
    end = record.zero_lag_seconds or max((sample.time_seconds for sample in record.samples), default=0.0)
    outcome = Outcome(
        verdict=judge(record.evidence),
        stalls=[
            stall for stall in stalls(record.evidence, record.acts, end) if stall.end_seconds > record.start_seconds
        ],
        aftermaths=aftermaths(record.evidence, record.victims),
        acts=record.acts,
        heal_seconds=None if record.zero_lag_seconds is None else record.zero_lag_seconds - record.healed_seconds,
        fallen=record.fallen,
        slope_mb_per_minute=slope_mb_per_minute(until_healed),
        patience=patience,
    )
    judged = promises(outcome)

    def since_start(time_seconds: float) -> float:
        return round(time_seconds - record.start_seconds, 3)

    return {
        **about,
        "samples": [
            {
                "t": since_start(sample.time_seconds),
                "done": sample.done,
                "published": sample.published,
                "lag": sample.lag,
                "memory_mb": {name: round(memory.pss_mb, 1) for name, memory in sample.memory.items()},
            }
            for sample in record.samples
        ],
        "acts": [
            {
                "t": since_start(act.start_seconds),
                "until": since_start(act.end_seconds),
                "nemesis": act.nemesis,
                "target": act.target,
            }
            for act in record.acts
        ],
        "findings": {
            **_counts(record),
            **_verdict(outcome.verdict),
            **_times(outcome, since_start),
            "memory_mb_each_five_minutes": [each and round(each, 1) for each in medians_mb(until_healed)],
        },
        "promises": as_dicts(judged),
    }, judged


def _counts(record: Record) -> dict[str, Any]:
    outcomes = Counter(entry.outcome for entry in record.evidence.asked.values())
    return {
        "events": len(record.evidence.asked),
        "acknowledged": outcomes["acknowledged"],
        "failed": outcomes["failed"],
        # One whose outcome the publisher was never told is as unknown as one that it was told so of.
        "unknown": outcomes["unknown"] + outcomes["asked"],
        "acts": len(record.acts),
        "workers_killed": sum(1 for victim in record.victims if victim.how == "kill"),
        "fallen": list(record.fallen),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    faults = {
        "lost": verdict.lost,
        "phantom": verdict.phantom,
        "doubled_outputs": verdict.doubled_outputs,
        "inversions_first": verdict.inversions_first,
        "inversions_outputs": verdict.inversions_outputs,
        "dead_letters_missing": verdict.dead_letters_missing,
        "dead_letters_unexpected": verdict.dead_letters_unexpected,
    }
    return {
        **{name: len(found) for name, found in faults.items()},
        "inversions_any": verdict.inversions_any,
        "doubled_effects": verdict.doubled_effects,
        "repeated_inputs": verdict.repeated_inputs,
        "repeated_outputs": verdict.repeated_outputs,
        "repeated_dead_letters": verdict.repeated_dead_letters,
        "reruns": verdict.reruns,
        "dead_letters_expected": verdict.dead_letters_expected,
        "dead_letters_found": verdict.dead_letters_found,
        "examples": {name: found[:EXAMPLES] for name, found in faults.items() if found},
    }


def _times(outcome: Outcome, since_start: Any) -> dict[str, Any]:
    return {
        "longest_stall_seconds": round(max((stall.seconds for stall in outcome.stalls), default=0.0), 3),
        "stalls": [_stall(stall, since_start) for stall in outcome.stalls],
        "heal_seconds": None if outcome.heal_seconds is None else round(outcome.heal_seconds, 3),
        "go_on_seconds": _go_on(outcome.aftermaths, "kill"),
        "go_on_seconds_after_term": _go_on(outcome.aftermaths, "term"),
        "go_on_seconds_after_pause": _go_on(outcome.aftermaths, "pause"),
        "reruns_per_kill": [each.finished_again for each in outcome.aftermaths if each.victim.how == "kill"],
        "in_work_per_kill": [each.in_work for each in outcome.aftermaths if each.victim.how == "kill"],
        "reruns_per_term": [each.finished_again for each in outcome.aftermaths if each.victim.how == "term"],
        "reruns_per_pause": [each.finished_again for each in outcome.aftermaths if each.victim.how == "pause"],
        "memory_slope_mb_per_minute": outcome.slope_mb_per_minute and round(outcome.slope_mb_per_minute, 3),
    }


def _stall(stall: Stall, since_start: Any) -> dict[str, Any]:
    return {
        "from": since_start(stall.start_seconds),
        "to": since_start(stall.end_seconds),
        "during": [act.nemesis for act in stall.during],
    }


def _go_on(found: Sequence[Aftermath], how: str) -> list[float | None]:
    """Rounded; None for one whose partitions never went on. Those that had nothing to do are left out."""
    spans = [each.go_on_seconds for each in found if each.victim.how == how and each.go_on_seconds is not None]
    return [None if span == float("inf") else round(span, 3) for span in spans]
