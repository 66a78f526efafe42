"""Places for what lasts, event streams and uploads: so many in one process, and so many of one token. Computes only."""

from __future__ import annotations

from collections import Counter

from producers.gateway.errors import Problem


class Places:
    """Counts who has a place.

    Args:
        what: What takes one, for messages, in the plural.
        most: Of all together.
        most_per_token: Of one token; None for as many as there are.
    """

    def __init__(self, what: str, most: int, most_per_token: int | None = None) -> None:
        self._what = what
        self._most = most
        self._most_per_token = most_per_token
        self._taken: Counter[str] = Counter()
        self.taken = 0

    def take(self, token_id: str) -> None:
        """Take a place; who takes it leaves it.

        Args:
            token_id: Whose.

        Raises:
            Problem: The token has all that it may have (429), or there is none left (503).
        """
        if self._most_per_token is not None and self._taken[token_id] >= self._most_per_token:
            raise Problem(
                "rate",
                f"This token has {self._most_per_token:,} {self._what} already, as many as it may.",
                hint="End some of them first.",
                retry_after_seconds=5,
            )
        if self.taken >= self._most:
            raise Problem(
                "busy",
                f"The gateway has {self._most:,} {self._what} already, as many as it may.",
                retry_after_seconds=5,
            )
        self._taken[token_id] += 1
        self.taken += 1

    def leave(self, token_id: str) -> None:
        """Give a place back."""
        self.taken -= 1
        self._taken[token_id] -= 1
        if not self._taken[token_id]:
            del self._taken[token_id]
