"""What a run is asked for, who watches it, and the share that it may not exceed. Computes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.cleanup.policy import Policy
from tidemill.errors import Reject

AHEAD = timedelta(hours=1)
"""How far clocks may be apart: ages measured from a later time would make everything old."""


@dataclass(frozen=True)
class Request:
    """One run.

    Attributes:
        event_id: Tells it from all others; the same in every try.
        as_of: Moment from which ages are measured; aware.
        dry_run: Only count.
        force: Exceed the policy's share.
    """

    event_id: str
    as_of: datetime
    dry_run: bool = False
    force: bool = False

    def check(self, now: datetime) -> None:
        """Refuse a moment that hasn't come.

        Raises:
            Reject: `as_of` lies ahead by more than clocks may be apart.
        """
        if self.as_of > now + AHEAD:
            raise Reject(
                f"as_of is {self.as_of.astimezone(UTC).isoformat()}, and it is only {now.astimezone(UTC).isoformat()}.",
                hint="Ages can't be measured from the future; leave as_of out, or correct the publisher's clock.",
            )


@dataclass(frozen=True)
class Watch:
    """Who looks on.

    Attributes:
        progress: Gets how much is done, of how much.
        is_cancelled: Whether the run is to end before its next step.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    is_cancelled: Callable[[], bool] = lambda: False


def refuse_too_much(policy: Policy, request: Request, taken: int, before: int, unit: str) -> None:
    """Stop a run that would take more than its share.

    Args:
        policy: Its `max_share` holds.
        request: With `force` all is well.
        taken: How many would go.
        before: Of how many.
        unit: What they are, for people.

    Raises:
        Reject: It would.
    """
    if request.force or taken <= before * policy.max_share:
        return
    raise Reject(
        f"Policy {policy.name!r} would remove {taken:,} of {before:,} {unit}, {taken / before:.1%}; at most "
        f"{policy.max_share:.1%} may go in one run. Nothing was removed.",
        hint="Look with `tidemill cleanup plan`. If it is meant: ask with force = true, or raise max_share.",
    )
