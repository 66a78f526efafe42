"""Long runs of offsets that an earlier owner has finished: passed over at once, rather than read and left out.

Runs on the consumer's thread. Must not pass over anything that the map of an assignment doesn't hold (I4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

Key = tuple[str, int]
"""Topic and partition."""

LONG_EVENTS = 5_000
"""Shorter runs are read: to begin elsewhere costs a fetch of its own, and throws away what was fetched already."""


class Leaps:
    """The long runs of each partition that are still ahead."""

    def __init__(self) -> None:
        self._ahead: dict[Key, deque[range]] = {}
        self.due: dict[Key, range] = {}
        """What to pass over now; whoever does so takes it out."""

    def __bool__(self) -> bool:
        return bool(self._ahead)

    def begin(self, key: Key, finished: Sequence[range]) -> None:
        """A partition is assigned.

        Args:
            key: The partition.
            finished: What its map holds, ascending.
        """
        self.forget([key])
        if long := deque(run for run in finished if len(run) >= LONG_EVENTS):
            self._ahead[key] = long

    def forget(self, keys: Iterable[Key]) -> None:
        """These partitions are read no more, or from elsewhere."""
        for key in keys:
            self._ahead.pop(key, None)
            self.due.pop(key, None)

    def reach(self, key: Key, offset: int) -> None:
        """A partition is read up to here: what it may leap over from there is `due`.

        Args:
            key: The partition.
            offset: The next offset.
        """
        ahead = self._ahead.get(key)
        while ahead and offset >= ahead[0].start:
            run = ahead.popleft()
            if run.stop - offset >= LONG_EVENTS:
                self.due[key] = range(offset, run.stop)
        if ahead is not None and not ahead:
            del self._ahead[key]
