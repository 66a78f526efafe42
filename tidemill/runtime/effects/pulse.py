"""Who is alive: owners count up in the ledger while they are at an effect, and one that stops counting is dead.

No clock is compared with another: what is measured is how long this process has seen a number stay the same, so that
clocks that are wrong or set mean nothing. While the ledger is away nobody ages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

BEATS_PER_LEASE = 5


@dataclass(slots=True)
class _Seen:
    beats: int
    since: float
    last: float
    asked: float


class Pulses:
    """The pulses of other owners, as this process has seen them.

    Args:
        lease_seconds: Without a beat for so long an owner is dead.
        now: A clock that is never set, in seconds.
    """

    def __init__(self, lease_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._lease_seconds = lease_seconds
        self._now = now
        self._seen: dict[str, _Seen] = {}

    def is_dead(self, owner: str, beats: int | None) -> bool:
        """Whether an owner is dead, from what the ledger says of it right now.

        Args:
            owner: Its token.
            beats: How far it has counted; None where the ledger doesn't know it: it has left, or was cleaned up.
        """
        if beats is None:
            return True
        seen = self._see(owner, beats)
        seen.asked = seen.last
        return seen.last - seen.since >= self._lease_seconds

    def watched(self) -> list[str]:
        """Owners that somebody has asked about lately; they are to be looked at with each beat."""
        lately = self._now() - 4 * self._lease_seconds
        self._seen = {owner: seen for owner, seen in self._seen.items() if seen.asked > lately}
        return list(self._seen)

    def look(self, beats: dict[str, int]) -> None:
        """What the ledger says right now of those that are watched; who isn't there is forgotten."""
        for owner in list(self._seen):
            if owner in beats:
                self._see(owner, beats[owner])
            else:
                del self._seen[owner]

    def _see(self, owner: str, beats: int) -> _Seen:
        now = self._now()
        seen = self._seen.get(owner)
        # One that was not looked at for a while may have beaten all the time and been kept from the ledger just now, as
        # this process was.
        if seen is None or seen.beats != beats or now - seen.last > self._lease_seconds / 2:
            self._seen[owner] = seen = _Seen(beats, now, now, seen.asked if seen is not None else now)
        seen.last = now
        return seen
