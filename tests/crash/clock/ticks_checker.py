"""Whether each job has each of its seconds exactly once, and all that belongs to it. Computes only."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from tests.crash.clock.ticks_jobs import emits
from tests.crash.clock.ticks_seen import Seen, SeenTick
from tidemill.event import derived_id


@dataclass
class Verdict:
    """What isn't as it should be; each fault in words."""

    lost: list[str] = field(default_factory=list)
    """(job, second) without a tick, between the first that is due and the job's last."""
    doubled: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """Ticks of unknown jobs, of times that no job has, or from before the schedule was in force."""
    wrong_ids: list[str] = field(default_factory=list)
    sequence_faults: list[str] = field(default_factory=list)
    """Numbers that don't follow each other, or ticks that don't in the topic."""
    early: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    emits_lost: list[str] = field(default_factory=list)
    emits_doubled: list[str] = field(default_factory=list)
    emits_phantom: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether there is no fault at all."""
        return not any(vars(self).values())


def judge(seen: Seen, jobs: Sequence[str], applied_at: float) -> Verdict:
    """Look for faults.

    Args:
        seen: All that a reader of committed events has seen.
        jobs: Those in force.
        applied_at: Since when they are, seconds since 1970: the first second after it is the first one due.
    """
    verdict = Verdict(skipped=list(seen.skips))
    of_job: dict[str, list[SeenTick]] = defaultdict(list)
    for tick in seen.ticks:
        of_job[tick.job].append(tick)
    verdict.unexpected += [f"{job} isn't in force" for job in of_job if job not in set(jobs)]
    for job in jobs:
        _judge_job(verdict, job, of_job.get(job, []), math.floor(applied_at) + 1)
    _judge_emits(verdict, seen)
    return verdict


def _judge_job(verdict: Verdict, job: str, ticks: Sequence[SeenTick], first: int) -> None:
    counts = Counter(tick.scheduled_at for tick in ticks)
    verdict.doubled += [_name(job, second) for second, count in counts.items() if count > 1]
    if not counts:
        verdict.lost.append(f"{job} has no tick at all")
        return
    expected = set(range(first, math.floor(max(counts)) + 1))
    verdict.lost += [_name(job, second) for second in sorted(expected - set(counts))]
    verdict.unexpected += [_name(job, second) for second in sorted(set(counts) - expected)]
    for tick in ticks:
        if tick.id != _name(job, tick.scheduled_at):
            verdict.wrong_ids.append(f"{tick.id}, expected {_name(job, tick.scheduled_at)}")
        if tick.seen_at < tick.scheduled_at or tick.emitted_at < tick.scheduled_at:
            verdict.early.append(tick.id)
        if tick.missed:
            verdict.sequence_faults.append(f"{tick.id} says that {tick.missed} before it were missed")
    # Read from one partition, so in the order of their offsets.
    if ticks[0].sequence != 1:
        verdict.sequence_faults.append(f"{ticks[0].id} has number {ticks[0].sequence}, and is the first")
    for before, tick in pairwise(ticks):
        if (tick.sequence, tick.scheduled_at) != (before.sequence + 1, before.scheduled_at + 1):
            verdict.sequence_faults.append(f"{tick.id}, number {tick.sequence}, follows {before.id}, {before.sequence}")


def _judge_emits(verdict: Verdict, seen: Seen) -> None:
    counts = Counter(seen.emits)
    expected = {derived_id(tick.id, "emit"): tick.id for tick in seen.ticks if emits(tick.job)}
    verdict.emits_doubled += sorted(expected.get(each, each) for each, count in counts.items() if count > 1)
    verdict.emits_lost += sorted(tick for each, tick in expected.items() if each not in counts)
    verdict.emits_phantom += sorted(each for each in counts if each not in expected)


def _name(job: str, second: float) -> str:
    return f"{job}@{datetime.fromtimestamp(second, UTC).isoformat().replace('+00:00', 'Z')}"
