"""How often and when a failed event is tried again. Computes; waits for nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from tidemill.errors import TidemillError


@dataclass(frozen=True)
class Retry:
    """A retry policy: exponential back-off with jitter.

    Args:
        attempts: Tries in all, the first one included; 1 means never again.
        first: Seconds before the second try.
        most: Seconds between two tries at most.
        factor: What the wait is multiplied with from try to try.
        jitter: Share of each wait that is random, 0 to 1: with 0.5 a wait of 8 s is anything from 4 s to 8 s, so that
            events that failed together don't come back together.
        never: Exceptions that are never tried again, besides `Reject` and errors that say so by `retriable = False`.
    """

    attempts: int = 5
    first: float = 1.0
    most: float = 600.0
    factor: float = 2.0
    jitter: float = 0.5
    never: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        # `not a <= b` rather than `a > b` where it decides about NaN, which compares false with everything.
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise ValueError(f"attempts must be a whole number, at least 1, found {self.attempts!r}")
        if not 0 <= self.first <= self.most or math.isinf(self.most):
            raise ValueError(f"expected 0 <= first <= most, in seconds, found first={self.first}, most={self.most}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1, found {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, found {self.jitter}")
        if not isinstance(self.never, tuple) or not all(_is_exception(cls) for cls in self.never):
            raise ValueError(f"never must be a tuple of exception classes, found {self.never!r}")

    def delay_seconds(self, attempt: int, random: Random) -> float:
        """Seconds to wait after so many failed tries.

        Args:
            attempt: The try that failed, from 1.
            random: Source of the jitter.
        """
        try:
            wait = min(self.most, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            wait = self.most if self.first else 0.0
        return wait * (1 - self.jitter * random.random())

    def may_retry(self, error: BaseException, attempt: int) -> bool:
        """Whether an event whose try so-and-so failed with this error is tried again."""
        if attempt >= self.attempts or isinstance(error, self.never):
            return False
        return error.retriable if isinstance(error, TidemillError) else True


def _is_exception(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Exception)
