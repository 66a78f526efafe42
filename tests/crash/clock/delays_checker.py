"""Whether each delayed event was dispatched exactly once, unchanged and never early; and how late. Computes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.crash.clock.ticks_outages import percentile


@dataclass(frozen=True, slots=True)
class Published:
    """An event whose receipt was given."""

    due: float
    """Seconds since 1970."""
    value: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A record in its destination, as a reader of committed events got it."""

    id: str
    value: bytes
    seen_at: float
    """Seconds since 1970."""
    written_at: float
    """Its timestamp: the scheduler's clock, cut to milliseconds."""


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    lost: list[str]
    doubled: list[str]
    early: list[str]
    changed: list[str]
    phantom: list[str]
    """Never published."""
    lateness_seconds: list[float]
    """Sorted; of the first record of each."""
    longest_gap_seconds: float
    """Longest time between two records while events were due all the time."""

    @property
    def is_right(self) -> bool:
        """Whether every promise was held."""
        return not (self.lost or self.doubled or self.early or self.changed or self.phantom)

    @property
    def summary(self) -> str:
        """For people."""
        late = [f"{percentile(self.lateness_seconds, share) * 1000:,.0f}" for share in (0.5, 0.9, 0.99, 1.0)]
        return (
            f"{len(self.lateness_seconds):,} dispatched; lost {len(self.lost)}, doubled {len(self.doubled)}, "
            f"early {len(self.early)}, changed {len(self.changed)}, phantom {len(self.phantom)}; "
            f"late by {late[0]} / {late[1]} / {late[2]} / {late[3]} ms (p50 / p90 / p99 / most); "
            f"longest gap {self.longest_gap_seconds:.1f} s"
        )


def judge(published: Mapping[str, Published], seen: Sequence[Seen]) -> Verdict:
    """Hold what was seen against what was published.

    Args:
        published: By id.
        seen: In the order of reading.
    """
    first: dict[str, Seen] = {}
    doubled, phantom = [], []
    for each in seen:
        if each.id not in published:
            phantom.append(each.id)
        elif each.id in first:
            doubled.append(each.id)
        else:
            first[each.id] = each
    # A timestamp is cut to milliseconds, and so may lie before the moment itself.
    early = [
        event_id
        for event_id, each in first.items()
        if each.written_at < int(published[event_id].due * 1000) / 1000 or each.seen_at < published[event_id].due
    ]
    return Verdict(
        lost=[event_id for event_id in published if event_id not in first],
        doubled=doubled,
        early=early,
        changed=[each.id for each in seen if each.id in published and each.value != published[each.id].value],
        phantom=phantom,
        lateness_seconds=sorted(each.seen_at - published[event_id].due for event_id, each in first.items()),
        longest_gap_seconds=max((after.seen_at - before.seen_at for before, after in pairwise(seen)), default=0.0),
    )
